//! Data sets, one file each, and their table. A new data set is a file here and a row of [`DATASETS`].

pub mod arrays;
pub mod cifar;
mod digits;
mod emnist;
mod fashion_mnist;
pub mod folder;
mod idx;
mod kmnist;
pub mod labels;
mod mnist;
mod npz;
mod safetensors;

use crate::answers::{AnswerKind, Wanted};
use crate::classes::numbered;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::fit::fit;
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use crate::split::stratified;
pub use emnist::EMNIST_SPLITS;
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
    let arrays = row.takes.contains(&"layout");
    if !arrays && (options.answers == AnswerKind::Values || options.as_is() || options.inputs.len() > 1) {
        let reason = "holds images of classes; tokens, several inputs and numbers to answer come in npz and safetensors files";
        return Err(Error::setting("dataset", Some(name), reason));
    }
    let pictures = [("image-size", options.image_size.is_some()), ("layout", options.layout.is_some())];
    if let (true, Some((setting, _))) = (options.as_is(), pictures.iter().find(|p| p.1)) {
        let reason = "is of images; the network takes its inputs as they are; leave it out";
        return Err(Error::setting(setting, None, reason));
    }
    let mut data = (row.load)(options)?;
    if !arrays && options.answers == AnswerKind::Nothing {
        let whole = data.is_whole();
        for set in [&mut data.train, &mut data.test] {
            let labels = vec![0; set.len()];
            *set = Arc::new(ImageSet { labels, wanted: Wanted::Nothing, ..(**set).clone() });
        }
        if whole {
            data.train = data.test.clone();
        }
        data.class_names = numbered(1);
    }
    if let Some(size) = options.image_size {
        // The normalisation stays that of the images as they came.
        let whole = data.is_whole();
        for set in [&mut data.train, &mut data.test] {
            if (set.size.0, set.size.1) != (size, size) {
                *set = Arc::new(fit(set, size)?);
            }
        }
        if whole {
            data.train = data.test.clone();
        }
    }
    Ok(data)
}

/// Whether the data set called `name` takes `setting`.
pub fn takes(name: &str, setting: &str) -> bool {
    DATASETS.iter().any(|row| row.name == name && row.takes.contains(&setting))
}

/// What stands for 1 on the scale that torchvision's `ToTensor` makes of values of the data set called `name`: 255 in bytes and in pictures, also those
/// that have more than 8 bits; numbers in arrays are as they are.
pub fn unit(name: &str, values: &Pixels) -> f64 {
    if takes(name, "no-exif") { 255.0 } else { values.unit() }
}

/// Takes a fraction of a single set away as test images, class by class; the split is the same for every run. Without a fraction it may be
/// taken whole.
fn split_test(
    path: &Path,
    all: ImageSet,
    class_names: Vec<String>,
    options: &DataOptions,
) -> Result<Dataset> {
    if options.whole && options.test_fraction.is_none() {
        let all = Arc::new(all);
        return Ok(Dataset::new(all.clone(), all, class_names)?);
    }
    let fraction = options.test_fraction.ok_or_else(|| {
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
        name: "mnist",
        about: "MNIST's handwritten digits, 28×28, 60,000 training and 10,000 test images, IDX files",
        takes: &["data-dir"],
        load: mnist::load,
    },
    DatasetRow {
        name: "kmnist",
        about: "Kuzushiji-MNIST, ten characters of cursive Japanese, as MNIST",
        takes: &["data-dir"],
        load: kmnist::load,
    },
    DatasetRow {
        name: "emnist",
        about: "EMNIST, handwritten letters and digits, 28×28, one of its splits, IDX files",
        takes: &["data-dir", "emnist-split"],
        load: emnist::load,
    },
    DatasetRow {
        name: "idx",
        about: "any images in four IDX files that are called like MNIST's",
        takes: &["data-dir", "class-names"],
        load: idx::load,
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
        about: "pictures as train/CLASS/FILE and test/CLASS/FILE, or CLASS/FILE, or with a CSV file of classes",
        takes: &[
            "data-dir",
            "test-fraction",
            "resize",
            "crop",
            "interpolation",
            "labels-file",
            "skip-broken",
            "no-exif",
        ],
        load: folder::load,
    },
    DatasetRow {
        name: "npz",
        about: "arrays of a NumPy .npz file: x_train, y_train, x_test and y_test, or x and y",
        takes: &["data-dir", "test-fraction", "layout", "class-names"],
        load: npz::load,
    },
    DatasetRow {
        name: "safetensors",
        about: "the same arrays in a safetensors file",
        takes: &["data-dir", "test-fraction", "layout", "class-names"],
        load: safetensors::load,
    },
];

/// The data set that is used when none is named.
pub const DEFAULT: &str = "digits";
