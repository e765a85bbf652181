//! Data sets, one file each, and their table; batches come from [`loader`]. A new data set is a file here and a row of
//! [`DATASETS`].

pub mod arrays;
pub mod cifar;
mod digits;
mod fashion_mnist;
pub mod fetch;
pub mod files;
mod fit;
pub mod folder;
pub mod idx;
pub mod image_file;
mod image_set;
pub mod loader;
pub mod npz;
pub mod safetensors;
mod split;

pub use crate::config::DataOptions;
pub use fit::fit;
pub use image_set::{ImageSet, Pixels};
use split::stratified;
pub use split::{Division, sample};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A data set with its normalisation.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Images to train on.
    pub train: Arc<ImageSet>,
    /// Images to test on.
    pub test: Arc<ImageSet>,
    /// What the classes are called, in the order of their numbers.
    pub class_names: Vec<String>,
    /// (value − mean)/std per channel, on the files' own scale, taken over all training images.
    pub normalisation: Normalisation,
}

/// Mean and standard deviation per channel, on the files' own scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean per channel.
    pub mean: Vec<f64>,
    /// Standard deviation per channel.
    pub std: Vec<f64>,
}

/// Images and labels that make no data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {part} images: {reason}")]
pub struct DatasetError {
    /// `training` or `test`.
    pub part: &'static str,
    /// What is wrong with them.
    pub reason: String,
}

impl Dataset {
    /// A data set of these images and classes; the normalisation is that of the training images.
    ///
    /// # Errors
    /// When a set is empty, its values do not fit its size and its labels, a label is no class's number, a value is not finite, or the two
    /// sets differ in their channels.
    pub fn new(
        train: ImageSet,
        test: ImageSet,
        class_names: Vec<String>,
    ) -> std::result::Result<Self, DatasetError> {
        for (part, set) in [("training", &train), ("test", &test)] {
            let fault = set.fault(class_names.len());
            fault.map_or(Ok(()), |reason| Err(DatasetError { part, reason }))?;
        }
        if train.size.2 != test.size.2 {
            let reason =
                format!("they are {}, the training images {}", test.spelled_size(), train.spelled_size());
            return Err(DatasetError { part: "test", reason });
        }
        let (mean, std) = train.images.moments(train.size.2);
        let normalisation = Normalisation { mean, std };
        Ok(Dataset { train: Arc::new(train), test: Arc::new(test), class_names, normalisation })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The CRC-32 of all images and labels, which tells them from others.
    pub fn crc32(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for set in [&self.train, &self.test] {
            match &set.images {
                Pixels::Bytes(v) => crc.update(v),
                Pixels::Floats(v) => v.iter().for_each(|v| crc.update(&v.to_le_bytes())),
            }
            set.labels.iter().for_each(|l| crc.update(&l.to_le_bytes()));
        }
        crc.finalize()
    }

    /// Leaves of the training images those that `division` trains on, and returns those that it holds out.
    ///
    /// # Errors
    /// As [`Division::numbers`].
    pub fn divide(&mut self, division: &Division) -> Result<Arc<ImageSet>> {
        let (train, held_out) = division.numbers(self)?;
        let held_out = Arc::new(self.train.select(&held_out));
        if train.len() < self.train.len() {
            self.train = Arc::new(self.train.select(&train));
        }
        Ok(held_out)
    }

    /// The images of `set`, one of this data set's, that a run with `--eval-images count` evaluates on, and their numbers in it.
    pub fn evaluated(&self, set: &Arc<ImageSet>, count: Option<usize>) -> (Arc<ImageSet>, Vec<usize>) {
        let numbers = sample(&set.labels, (0..set.len()).collect(), self.classes(), count);
        let all = numbers.len() == set.len();
        (if all { set.clone() } else { Arc::new(set.select(&numbers)) }, numbers)
    }
}

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
    let row = row.ok_or_else(|| Error::Config(format!("unknown data set '{name}'")))?;
    if let Some(flag) = options.given().find(|f| *f != "image-size" && !row.takes.contains(f)) {
        let takers: Vec<&str> = DATASETS.iter().filter(|d| d.takes.contains(&flag)).map(|d| d.name).collect();
        return Err(Error::Config(format!(
            "--dataset {name} does not take --{flag}; {} do",
            takers.join(", ")
        )));
    }
    let mut data = (row.load)(options)?;
    if let Some(size) = options.image_size {
        // The normalisation stays that of the images as they came.
        for set in [&mut data.train, &mut data.test] {
            if (set.size.0, set.size.1) != (size, size) {
                *set = Arc::new(fit(set, size).map_err(Error::Config)?);
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
        Error::Config(format!(
            "{} has no test images; say with --test-fraction how many to take",
            path.display()
        ))
    })?;
    let count = (fraction * all.len() as f64).round() as usize;
    let (train, test) = stratified(&all.labels, class_names.len(), count, "test");
    if train.is_empty() || test.is_empty() {
        let n = all.len();
        return Err(Error::Config(format!(
            "--test-fraction {fraction} of {n} images leaves no image on one side"
        )));
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
        about: "JPEG and PNG files as train/CLASS/FILE and test/CLASS/FILE, or CLASS/FILE",
        takes: &["data-dir", "test-fraction"],
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

#[test]
fn images_and_labels_that_make_no_data_set_are_refused() {
    let set = || ImageSet { size: (2, 2, 1), images: Pixels::Floats(vec![0.5; 12]), labels: vec![0, 1, 1] };
    let refusal = |change: &dyn Fn(&mut ImageSet)| {
        let mut other = set();
        change(&mut other);
        let of = |train: ImageSet, test: ImageSet| {
            Dataset::new(train, test, numbered(2)).err().map_or("nothing".into(), |e| e.to_string())
        };
        [of(other.clone(), set()), of(set(), other)]
    };
    assert_eq!(refusal(&|_| ()), ["nothing", "nothing"]);
    type Change = dyn Fn(&mut ImageSet);
    let rows: [(&Change, &str); 7] = [
        (&|s| s.labels[2] = 2, "image 2 has label 2, and there are 2 classes"),
        (&|s| s.labels.truncate(2), "12 values for 2 images of 2×2×1"),
        (&|s| s.images = Pixels::Bytes(vec![0; 11]), "11 values for 3 images of 2×2×1"),
        (
            &|s| s.images = Pixels::Floats([vec![0.0; 7], vec![f32::NAN; 5]].concat()),
            "image 1 has a value that is not finite",
        ),
        (&|s| (s.size, s.images) = ((2, 0, 1), Pixels::Bytes(vec![])), "their size is 2×0×1"),
        (&|s| (s.labels, s.images) = (vec![], Pixels::Bytes(vec![])), "there are none"),
        (&|s| s.size = (usize::MAX, 2, 3), "12 values for 3 images of "),
    ];
    for (change, reason) in rows {
        let [train, test] = refusal(change);
        assert!(train.starts_with("the training images: ") && train.contains(reason), "{train}");
        assert!(test.starts_with("the test images: ") && test.contains(reason), "{test}");
    }
    let colour = ImageSet { size: (2, 1, 3), images: Pixels::Bytes(vec![0; 6]), labels: vec![1] };
    let e = Dataset::new(set(), colour, numbered(2)).unwrap_err().to_string();
    assert_eq!(e, "the test images: they are 2×1×3, the training images 2×2×1");
}
