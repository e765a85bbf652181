//! Settings of the data.

use super::values::{between, pixels};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where data files are and how they are read; every data set takes some of these.
#[derive(Args, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DataOptions {
    /// Folder of the data files; for npz and safetensors the file itself, too.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Height and width that images are made to have [default: their own]: enlarged by a whole factor, then padded; those of
    /// --dataset folder cut to the square in the middle, then resized.
    #[arg(long, value_parser = pixels, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Fraction of the images to test on, where folder, npz or safetensors come without a test set; the split is always the same.
    #[arg(long, value_parser = between, value_name = "FRACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
    /// Order of the axes of 4-D arrays in npz and safetensors.
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
}

/// The order of the axes of an array of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Images, height, width, channels (TensorFlow, Keras).
    Nhwc,
    /// Images, channels, height, width (PyTorch).
    Nchw,
}

impl DataOptions {
    /// The flags that were given, by name.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("data-dir", self.data_dir.is_some()),
            ("image-size", self.image_size.is_some()),
            ("test-fraction", self.test_fraction.is_some()),
            ("layout", self.layout.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
    }
}
