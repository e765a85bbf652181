//! How a data set is read.

use crate::answers::AnswerKind;
use crate::interpolation::Interpolation;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// Where data files are and how they are read; every data set takes some of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DataOptions {
    /// Folder of the data files; for npz and safetensors the file itself, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Height and width that images are made to have, at least 1; `None`: their own. Enlarged by a whole factor, then padded; those of the
    /// data set `folder` cut to the square in the middle, then resized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Length that the shorter side of pictures is resized to, as torchvision's `Resize` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Side of the square that is then cut from the middle, as torchvision's `CenterCrop` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// How `resize` makes new pixels; `None`: bilinear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// Fraction of the images to test on, between 0 and 1, where folder, npz or safetensors come without a test set; the split is always
    /// the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
    /// Order of the axes of 4-D arrays in npz and safetensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Pictures of the data set `folder` that cannot be read are left out; else they are errors.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_broken: bool,
    /// Pictures stay as their files hold them; else they are turned as their EXIF orientation says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_exif: bool,
    /// A file with the names of classes, a line each, for idx, npz and safetensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_names: Option<PathBuf>,
    /// A CSV file with the classes of a folder's pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_file: Option<PathBuf>,
    /// Which of EMNIST's splits is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emnist_split: Option<String>,
    /// What comes in one part, without `test_fraction`, is taken whole: all images are both training and test images.
    #[serde(skip)]
    pub whole: bool,
    /// What the network reads, in its order; none: images, features.
    #[serde(skip)]
    pub inputs: Vec<InputSpec>,
    /// What it is to answer.
    #[serde(skip)]
    pub answers: AnswerKind,
}

/// An input of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// Its name, by which its array is found.
    pub name: String,
    /// How its values are taken.
    pub kind: InputKind,
    /// Shape of a sample, at most six axes; empty for a number. That of images is the files'.
    pub shape: Vec<usize>,
}

/// How the values of an input are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// As images or features, normalised; the first input alone.
    Images,
    /// As they are, any finite numbers.
    Floats,
    /// As they are, whole numbers: tokens.
    Integers,
}

/// The order of the axes of an array of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Images, height, width, channels (TensorFlow, Keras).
    Nhwc,
    /// Images, channels, height, width (PyTorch).
    Nchw,
}

impl Layout {
    /// All orders by name.
    pub const NAMES: [(&str, Layout); 2] = [("nhwc", Layout::Nhwc), ("nchw", Layout::Nchw)];
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, layout)| *layout).ok_or_else(|| "must be nhwc or nchw".into())
    }
}

impl DataOptions {
    /// The same without places of files, which are nobody else's business.
    #[must_use]
    pub fn without_places(&self) -> Self {
        DataOptions { data_dir: None, class_names: None, labels_file: None, ..self.clone() }
    }

    /// The network's first input is taken as it is, not as images.
    pub fn as_is(&self) -> bool {
        self.inputs.first().is_some_and(|input| input.kind != InputKind::Images)
    }

    /// The settings that were given, by name.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("data-dir", self.data_dir.is_some()),
            ("image-size", self.image_size.is_some()),
            ("resize", self.resize.is_some()),
            ("crop", self.crop.is_some()),
            ("interpolation", self.interpolation.is_some()),
            ("test-fraction", self.test_fraction.is_some()),
            ("layout", self.layout.is_some()),
            ("class-names", self.class_names.is_some()),
            ("labels-file", self.labels_file.is_some()),
            ("emnist-split", self.emnist_split.is_some()),
            ("skip-broken", self.skip_broken),
            ("no-exif", self.no_exif),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
    }
}
