//! MNIST (LeCun, Cortes and Burges 1998, "The MNIST database of handwritten digits"; CC BY-SA 3.0) from its four IDX files, in the folder
//! given or in the cache.

use super::idx;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::options::DataOptions;

const CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = idx::folder("mnist", options)?;
    idx::published("mnist", &CLASSES, &dir, "name the folder of the four IDX files with `data-dir`")
}
