//! Named arrays, whatever file they come in.

/// An array in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray {
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Values,
}

/// Elements of an array, in the smallest of four types that holds them.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Unsigned bytes and booleans.
    Bytes(Vec<u8>),
    /// Other whole numbers.
    Ints(Vec<i64>),
    /// Floating-point numbers, rounded to 32 bits.
    Floats(Vec<f32>),
    /// Text.
    Text(Vec<String>),
}

/// The element types that files may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
    /// Text of so many characters of four bytes, filled up with zeros.
    Unicode(usize),
    /// Text of so many bytes, filled up with zeros.
    Ascii(usize),
}

impl Dtype {
    pub(super) fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 | Dtype::BF16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
            Dtype::Unicode(n) => 4 * n,
            Dtype::Ascii(n) => n,
        }
    }

    /// The little-endian elements in `bytes`.
    fn decode(self, bytes: &[u8]) -> std::result::Result<Values, String> {
        fn each<const N: usize, V>(bytes: &[u8], f: impl Fn([u8; N]) -> V) -> Vec<V> {
            bytes.as_chunks::<N>().0.iter().map(|b| f(*b)).collect()
        }
        Ok(match self {
            Dtype::Bool | Dtype::U8 => Values::Bytes(bytes.to_vec()),
            Dtype::I8 => Values::Ints(each(bytes, |b| i8::from_le_bytes(b).into())),
            Dtype::U16 => Values::Ints(each(bytes, |b| u16::from_le_bytes(b).into())),
            Dtype::I16 => Values::Ints(each(bytes, |b| i16::from_le_bytes(b).into())),
            Dtype::U32 => Values::Ints(each(bytes, |b| u32::from_le_bytes(b).into())),
            Dtype::I32 => Values::Ints(each(bytes, |b| i32::from_le_bytes(b).into())),
            Dtype::I64 => Values::Ints(each(bytes, i64::from_le_bytes)),
            Dtype::U64 => {
                let large = bytes
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .map(|b| u64::from_le_bytes(*b))
                    .find(|v| *v > i64::MAX as u64);
                if let Some(v) = large {
                    return Err(format!("the value {v} is too large"));
                }
                Values::Ints(each(bytes, |b| u64::from_le_bytes(b) as i64))
            }
            Dtype::F16 => Values::Floats(each(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => Values::Floats(each(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
            Dtype::F32 => Values::Floats(each(bytes, f32::from_le_bytes)),
            Dtype::F64 => Values::Floats(each(bytes, |b| f64::from_le_bytes(b) as f32)),
            Dtype::Unicode(n) => {
                let text = |element: &[u8]| -> Option<String> {
                    let points = element.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
                    let text: Option<String> = points.map(char::from_u32).collect();
                    text.map(|text| text.trim_end_matches('\0').to_string())
                };
                Values::Text(texts(bytes, 4 * n, text)?)
            }
            Dtype::Ascii(n) => {
                let text = |element: &[u8]| {
                    str::from_utf8(element).ok().map(|text| text.trim_end_matches('\0').to_string())
                };
                Values::Text(texts(bytes, n, text)?)
            }
        })
    }
}

/// Elements of `size` bytes that are text.
fn texts(
    bytes: &[u8],
    size: usize,
    text: impl Fn(&[u8]) -> Option<String>,
) -> std::result::Result<Vec<String>, String> {
    // Elements without bytes would be as many as a file likes.
    if size == 0 {
        return Err("text without characters".into());
    }
    let found: Option<Vec<String>> = bytes.chunks_exact(size).map(text).collect();
    found.ok_or_else(|| "text that is not Unicode".into())
}

impl NamedArray {
    /// An array of little-endian elements.
    ///
    /// # Errors
    /// When `bytes` do not fill `shape`.
    pub(super) fn decode(shape: &[usize], dtype: Dtype, bytes: &[u8]) -> std::result::Result<Self, String> {
        let len = shape.iter().try_fold(dtype.size(), |n, d| n.checked_mul(*d));
        if len != Some(bytes.len()) {
            let found = bytes.len();
            return Err(format!(
                "{found} bytes of values do not fill shape {shape:?} of {} bytes each",
                dtype.size()
            ));
        }
        Ok(NamedArray { shape: shape.to_vec(), values: dtype.decode(bytes)? })
    }

    /// The names in a list of text.
    ///
    /// # Errors
    /// When it is no such list.
    pub fn into_names(self) -> std::result::Result<Vec<String>, String> {
        match (&self.shape[..], self.values) {
            ([_], Values::Text(names)) => Ok(names),
            (shape, _) => Err(format!("shape {shape:?} or type; a list of text is expected")),
        }
    }
}

/// A file of named arrays.
pub trait ArrayFile {
    /// The names in it, in any order.
    fn names(&self) -> Vec<String>;

    /// The array called `name`.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn array(&mut self, name: &str) -> std::result::Result<NamedArray, String>;

    /// What the file calls its classes, in the order of their numbers: an array of text called `class_names`, in any case of letters.
    ///
    /// # Errors
    /// When it is something else.
    fn class_names(&mut self) -> std::result::Result<Option<Vec<String>>, String> {
        let Some(name) = self.names().into_iter().find(|n| n.eq_ignore_ascii_case("class_names")) else {
            return Ok(None);
        };
        self.array(&name).and_then(NamedArray::into_names).map(Some)
    }
}
