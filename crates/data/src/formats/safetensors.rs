//! Named arrays in a safetensors file.

use super::arrays::{ArrayFile, Dtype, NamedArray};
use safetensors::SafeTensors;

/// The arrays of a safetensors file.
pub struct File<'a> {
    arrays: SafeTensors<'a>,
    /// What its metadata calls classes.
    class_names: Option<String>,
}

impl<'a> File<'a> {
    /// The file in `bytes`.
    ///
    /// # Errors
    /// When it is not a whole safetensors file.
    pub fn parse(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        let whole = |e| format!("not a whole safetensors file ({e})");
        let (_, about) = SafeTensors::read_metadata(bytes).map_err(whole)?;
        let class_names = about.metadata().as_ref().and_then(|m| m.get("class_names")).cloned();
        Ok(File { arrays: SafeTensors::deserialize(bytes).map_err(whole)?, class_names })
    }
}

impl ArrayFile for File<'_> {
    fn names(&self) -> Vec<String> {
        self.arrays.names().into_iter().map(String::from).collect()
    }

    fn array(&mut self, name: &str) -> std::result::Result<NamedArray, String> {
        use safetensors::Dtype as Theirs;
        let view = self.arrays.tensor(name).map_err(|e| e.to_string())?;
        let dtype = match view.dtype() {
            Theirs::BOOL => Dtype::Bool,
            Theirs::U8 => Dtype::U8,
            Theirs::U16 => Dtype::U16,
            Theirs::U32 => Dtype::U32,
            Theirs::U64 => Dtype::U64,
            Theirs::I8 => Dtype::I8,
            Theirs::I16 => Dtype::I16,
            Theirs::I32 => Dtype::I32,
            Theirs::I64 => Dtype::I64,
            Theirs::F16 => Dtype::F16,
            Theirs::BF16 => Dtype::BF16,
            Theirs::F32 => Dtype::F32,
            Theirs::F64 => Dtype::F64,
            other => {
                return Err(format!("elements of type {other:?}; save whole numbers, F16, BF16, F32 or F64"));
            }
        };
        NamedArray::decode(view.shape(), dtype, view.data())
    }

    /// Tensors hold no text: `class_names` of the metadata is a JSON list.
    fn class_names(&mut self) -> std::result::Result<Option<Vec<String>>, String> {
        let Some(text) = &self.class_names else { return Ok(None) };
        let names = serde_json::from_str(text);
        names.map(Some).map_err(|_| "metadata: a JSON list of text is expected".into())
    }
}

#[test]
fn elements_of_every_type_keep_their_values() {
    use super::arrays::Values;
    use safetensors::Dtype as Theirs;
    use safetensors::tensor::TensorView;
    let ints = |v: &[i64]| Values::Ints(v.to_vec());
    let cases: Vec<(Theirs, Vec<u8>, Values)> = vec![
        (Theirs::BOOL, vec![0, 1], Values::Bytes(vec![0, 1])),
        (Theirs::U8, vec![7, 200], Values::Bytes(vec![7, 200])),
        (Theirs::I8, vec![7, 200], ints(&[7, -56])),
        (Theirs::U16, vec![1, 2, 0, 128], ints(&[513, 32768])),
        (Theirs::I16, vec![1, 2, 0, 128], ints(&[513, -32768])),
        (Theirs::U32, [5u32, 1 << 31].map(u32::to_le_bytes).concat(), ints(&[5, 1 << 31])),
        (Theirs::I32, [5i32, i32::MIN].map(i32::to_le_bytes).concat(), ints(&[5, -(1 << 31)])),
        (Theirs::U64, [5u64, 1 << 62].map(u64::to_le_bytes).concat(), ints(&[5, 1 << 62])),
        (Theirs::I64, [5i64, -6].map(i64::to_le_bytes).concat(), ints(&[5, -6])),
        // The bits of 0.5 and −3 in IEEE's half precision and in bfloat16.
        (Theirs::F16, vec![0x00, 0x38, 0x00, 0xc2], Values::Floats(vec![0.5, -3.0])),
        (Theirs::BF16, vec![0x00, 0x3f, 0x40, 0xc0], Values::Floats(vec![0.5, -3.0])),
        (Theirs::F32, [0.5f32, -3.0].map(f32::to_le_bytes).concat(), Values::Floats(vec![0.5, -3.0])),
        (Theirs::F64, [0.5f64, -3.0].map(f64::to_le_bytes).concat(), Values::Floats(vec![0.5, -3.0])),
    ];
    for (dtype, bytes, values) in &cases {
        let view = TensorView::new(*dtype, vec![2], bytes).unwrap();
        let file = safetensors::serialize([("x", view)], None).unwrap();
        let found = File::parse(&file).unwrap().array("x").unwrap();
        assert_eq!((found.shape, &found.values), (vec![2], values), "{dtype:?}");
    }
    let view = TensorView::new(Theirs::F8_E4M3, vec![1], &[0]).unwrap();
    let about = [("class_names".to_string(), r#"["a", "é"]"#.to_string())];
    let file = safetensors::serialize([("x", view)], Some(about.into())).unwrap();
    let mut file = File::parse(&file).unwrap();
    assert!(file.array("x").unwrap_err().contains("F8_E4M3"));
    assert_eq!(file.class_names().unwrap().unwrap(), ["a", "é"]);
}
