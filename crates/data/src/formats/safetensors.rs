//! Named arrays in a safetensors file.

use super::arrays::{ArrayFile, Dtype, NamedArray};
use safetensors::SafeTensors;

/// The arrays of a safetensors file.
pub struct File<'a>(SafeTensors<'a>);

impl<'a> File<'a> {
    /// The file in `bytes`.
    ///
    /// # Errors
    /// When it is not a whole safetensors file.
    pub fn parse(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        SafeTensors::deserialize(bytes).map(File).map_err(|e| format!("not a whole safetensors file ({e})"))
    }
}

impl ArrayFile for File<'_> {
    fn names(&self) -> Vec<String> {
        self.0.names().into_iter().map(String::from).collect()
    }

    fn array(&mut self, name: &str) -> std::result::Result<NamedArray, String> {
        use safetensors::Dtype as Theirs;
        let view = self.0.tensor(name).map_err(|e| e.to_string())?;
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
            Theirs::F32 => Dtype::F32,
            Theirs::F64 => Dtype::F64,
            other => return Err(format!("elements of type {other:?}; save whole numbers, F32 or F64")),
        };
        NamedArray::decode(view.shape(), dtype, view.data())
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
        (Theirs::F32, [0.5f32, -3.0].map(f32::to_le_bytes).concat(), Values::Floats(vec![0.5, -3.0])),
        (Theirs::F64, [0.5f64, -3.0].map(f64::to_le_bytes).concat(), Values::Floats(vec![0.5, -3.0])),
    ];
    for (dtype, bytes, values) in &cases {
        let view = TensorView::new(*dtype, vec![2], bytes).unwrap();
        let file = safetensors::serialize([("x", view)], None).unwrap();
        let found = File::parse(&file).unwrap().array("x").unwrap();
        assert_eq!((found.shape, &found.values), (vec![2], values), "{dtype:?}");
    }
    let view = TensorView::new(Theirs::F16, vec![1], &[0, 0]).unwrap();
    let file = safetensors::serialize([("x", view)], None).unwrap();
    assert!(File::parse(&file).unwrap().array("x").unwrap_err().contains("F16"));
}
