//! A data set from a safetensors file of named arrays; see [`super::arrays`].

use super::arrays::{self, ArrayFile, Dtype, NamedArray};
use super::{DataOptions, Dataset, files};
use crate::error::{Error, Result};
use safetensors::SafeTensors;

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let path = arrays::find(options, "safetensors")?;
    let bytes = files::read(&path)?;
    let mut file = File::parse(&bytes).map_err(|e| Error::data(&path, e))?;
    arrays::dataset(&path, &mut file, options)
}

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
