//! Kuzushiji-MNIST (Clanuwat et al. 2018, "Deep Learning for Classical Japanese Literature"; CC BY-SA 4.0), ten characters of cursive
//! Japanese, from its four IDX files, in the folder given or in the cache. Classes are called as in torchvision.

use super::idx;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::options::DataOptions;

const CLASSES: [&str; 10] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = idx::folder("kmnist", options)?;
    idx::published("kmnist", &CLASSES, &dir, "name the folder of the four IDX files with `data-dir`")
}
