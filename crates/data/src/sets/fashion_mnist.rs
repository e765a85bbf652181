//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017; MIT licence) from its four IDX files, in the folder given, where `sph data fetch` puts
//! them, or where Debian's package `dataset-fashion-mnist` does.

use super::idx;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::fetch;
use crate::options::DataOptions;

const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = match &options.data_dir {
        Some(dir) => dir.clone(),
        None => fetch::cache("fashion-mnist").ok().filter(|d| d.is_dir()).unwrap_or(DEBIAN.into()),
    };
    let hint = "sph data fetch fashion-mnist, install Debian's package dataset-fashion-mnist, or name the folder of the four IDX files \
                with `data-dir`";
    idx::published("fashion-mnist", &CLASSES, &dir, hint)
}
