//! Data sets, one file each, and their table; batches come from [`loader`]. A new data set is a file here and a row of
//! [`DATASETS`].

mod digits;
mod fashion_mnist;
mod fit;
pub mod idx;
pub mod loader;
mod split;

pub use split::stratified;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Labelled images as bytes, NHWC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// Height, width, channels.
    pub size: (usize, usize, usize),
    /// N·H·W·C bytes.
    pub images: Vec<u8>,
    /// N class numbers.
    pub labels: Vec<u8>,
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.size.0 * self.size.1 * self.size.2
    }

    /// The images with the given numbers, in that order.
    pub fn select(&self, numbers: &[usize]) -> ImageSet {
        let n = self.image_len();
        ImageSet {
            size: self.size,
            images: numbers.iter().flat_map(|&i| &self.images[i * n..(i + 1) * n]).copied().collect(),
            labels: numbers.iter().map(|&i| self.labels[i]).collect(),
        }
    }
}

/// A data set with its normalisation.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Images to train on.
    pub train: Arc<ImageSet>,
    /// Images to test on.
    pub test: Arc<ImageSet>,
    /// Number of classes.
    pub classes: usize,
    /// (value − mean)/std per channel, on the bytes' own scale, taken over all training images.
    pub normalisation: Normalisation,
}

/// Mean and standard deviation per channel, on the bytes' own scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean per channel.
    pub mean: Vec<f64>,
    /// Standard deviation per channel.
    pub std: Vec<f64>,
}

impl Dataset {
    /// A data set of these images and classes 0 to `classes` − 1; the normalisation is that of the training images.
    pub fn new(train: ImageSet, test: ImageSet, classes: usize) -> Self {
        let c = train.size.2;
        let count = (train.images.len() / c).max(1) as f64;
        let mut histogram = vec![[0u64; 256]; c];
        train.images.iter().enumerate().for_each(|(i, v)| histogram[i % c][*v as usize] += 1);
        let moment = |h: &[u64; 256], f: &dyn Fn(f64) -> f64| -> f64 {
            h.iter().enumerate().map(|(v, n)| f(v as f64) * *n as f64).sum::<f64>() / count
        };
        let mean: Vec<f64> = histogram.iter().map(|h| moment(h, &|v| v)).collect();
        let std = histogram
            .iter()
            .zip(&mean)
            .map(|(h, m)| moment(h, &|v| (v - m) * (v - m)).sqrt().max(1e-6))
            .collect();
        Dataset {
            train: Arc::new(train),
            test: Arc::new(test),
            classes,
            normalisation: Normalisation { mean, std },
        }
    }

    /// Takes `fraction` of the training images away, class by class, as validation images. The split is the same for every
    /// run.
    pub fn split_validation(&mut self, fraction: f64) -> Arc<ImageSet> {
        let count = (fraction * self.train.len() as f64).round() as usize;
        let (rest, taken) = stratified(&self.train.labels, self.classes, count, "val");
        let validation = Arc::new(self.train.select(&taken));
        self.train = Arc::new(self.train.select(&rest));
        validation
    }
}

/// Where data files may be.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// The folder the user named.
    pub data_dir: Option<PathBuf>,
    /// Height and width that images are made to have; theirs by default.
    pub image_size: Option<usize>,
}

/// A row of the table of data sets.
pub struct DatasetRow {
    /// The name users give.
    pub name: &'static str,
    /// What it is and where it comes from.
    pub about: &'static str,
    /// Reads it.
    pub load: fn(&DataOptions) -> Result<Dataset>,
}

/// The data set called `name`.
///
/// # Errors
/// When it is unknown, its files cannot be read, or its images do not fit.
pub fn load(name: &str, options: &DataOptions) -> Result<Dataset> {
    let row = DATASETS.iter().find(|d| d.name == name);
    let mut data = (row.ok_or_else(|| Error::Config(format!("unknown data set '{name}'")))?.load)(options)?;
    if let Some(size) = options.image_size {
        // The normalisation stays that of the images as they came.
        for set in [&mut data.train, &mut data.test] {
            *set = Arc::new(fit::fit(set, size).map_err(Error::Config)?);
        }
    }
    Ok(data)
}

/// All data sets.
pub const DATASETS: &[DatasetRow] = &[
    DatasetRow {
        name: "digits",
        about: "UCI handwritten digits, 8×8, 1,437 training and 360 test images, embedded",
        load: digits::load,
    },
    DatasetRow {
        name: "fashion-mnist",
        about: "Fashion-MNIST, 28×28, 60,000 training and 10,000 test images, IDX files",
        load: fashion_mnist::load,
    },
];

/// The data set that is used when none is named.
pub const DEFAULT: &str = "digits";
