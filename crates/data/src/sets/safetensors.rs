//! A data set from a safetensors file of named arrays; see [`super::arrays`].

use super::arrays;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use crate::formats::safetensors::File;
use crate::options::DataOptions;

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let path = arrays::find(options, "safetensors")?;
    let bytes = files::read(&path)?;
    let mut file = File::parse(&bytes).map_err(|e| Error::file(&path, e))?;
    arrays::dataset(&path, &mut file, options)
}
