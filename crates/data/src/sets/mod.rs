//! Data sets, one file each, and their table. A new data set is a file here and a row of [`DATASETS`].

pub mod arrays;
pub mod cifar;
mod digits;
mod fashion_mnist;
pub mod folder;
mod npz;
mod safetensors;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::fit::fit;
use crate::image_set::ImageSet;
use crate::options::DataOptions;
use crate::split::stratified;
use std::path::Path;
use std::sync::Arc;

/// A row of the table of data sets.
pub struct DatasetRow {
    /// The name users give.
    pub name: &'static str,
    /// What it is and where it comes from.
    pub about: &'static str,
    /// The settings it takes, beside `image-size`, which all take.
    pub takes: &'static [&'static str],
    /// Reads it.
    pub load: fn(&DataOptions) -> Result<Dataset>,
}

/// The data set called `name`.
///
/// # Errors
/// When it is unknown or does not take a setting, its files cannot be read, or its images do not fit.
pub fn load(name: &str, options: &DataOptions) -> Result<Dataset> {
    let row = DATASETS.iter().find(|d| d.name == name);
    let row = row.ok_or_else(|| Error::setting("dataset", Some(name), "is no data set"))?;
    if let Some(setting) = options.given().find(|s| *s != "image-size" && !row.takes.contains(s)) {
        let takers = DATASETS.iter().filter(|d| d.takes.contains(&setting)).map(|d| d.name).collect();
        return Err(Error::NotTaken { dataset: name.into(), setting, takers });
    }
    let mut data = (row.load)(options)?;
    if let Some(size) = options.image_size {
        // The normalisation stays that of the images as they came.
        for set in [&mut data.train, &mut data.test] {
            if (set.size.0, set.size.1) != (size, size) {
                *set = Arc::new(fit(set, size)?);
            }
        }
    }
    Ok(data)
}

/// Classes that have numbers for names.
fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|i| i.to_string()).collect()
}

/// Takes a fraction of a single set away as test images, class by class; the split is the same for every run.
fn split_test(
    path: &Path,
    all: ImageSet,
    class_names: Vec<String>,
    fraction: Option<f64>,
) -> Result<Dataset> {
    let fraction = fraction.ok_or_else(|| {
        let reason =
            format!("says how many images of {} to test on, which has no test images", path.display());
        Error::setting("test-fraction", None, reason)
    })?;
    let count = (fraction * all.len() as f64).round() as usize;
    let (train, test) = stratified(&all.labels, class_names.len(), count, "test");
    if train.is_empty() || test.is_empty() {
        let n = all.len();
        let reason = format!("of {n} images leaves no image on one side");
        return Err(Error::setting("test-fraction", Some(&fraction.to_string()), reason));
    }
    Ok(Dataset::new(all.select(&train), all.select(&test), class_names)?)
}

/// All data sets.
pub const DATASETS: &[DatasetRow] = &[
    DatasetRow {
        name: "digits",
        about: "UCI handwritten digits, 8×8, 1,437 training and 360 test images, embedded",
        takes: &[],
        load: digits::load,
    },
    DatasetRow {
        name: "fashion-mnist",
        about: "Fashion-MNIST, 28×28, 60,000 training and 10,000 test images, IDX files",
        takes: &["data-dir"],
        load: fashion_mnist::load,
    },
    DatasetRow {
        name: "cifar10",
        about: "CIFAR-10, 32×32, 50,000 training and 10,000 test images, the binary version's files",
        takes: &["data-dir"],
        load: cifar::load10,
    },
    DatasetRow {
        name: "cifar100",
        about: "CIFAR-100, as CIFAR-10, with the fine labels",
        takes: &["data-dir"],
        load: cifar::load100,
    },
    DatasetRow {
        name: "folder",
        about: "pictures as train/CLASS/FILE and test/CLASS/FILE, or CLASS/FILE",
        takes: &["data-dir", "test-fraction", "skip-broken", "no-exif"],
        load: folder::load,
    },
    DatasetRow {
        name: "npz",
        about: "arrays of a NumPy .npz file: x_train, y_train, x_test and y_test, or x and y",
        takes: &["data-dir", "test-fraction", "layout"],
        load: npz::load,
    },
    DatasetRow {
        name: "safetensors",
        about: "the same arrays in a safetensors file",
        takes: &["data-dir", "test-fraction", "layout"],
        load: safetensors::load,
    },
];

/// The data set that is used when none is named.
pub const DEFAULT: &str = "digits";
