//! Settings of the data.

use super::values::{between, from_root, pixels};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::{Deserialize, Serialize};
use sph_data::sets::EMNIST_SPLITS;
use sph_data::{AnswerKind, DataOptions, Interpolation, Layout};
use std::path::PathBuf;

/// Where data files are and how they are read; every data set takes some of these.
#[derive(Args, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DatasetArgs {
    /// Folder of the data files; for npz and safetensors the file itself, too.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Height and width that images are made to have [default: their own]: enlarged by a whole factor, then padded; those of
    /// --dataset folder cut to the square in the middle, then resized.
    #[arg(long, value_parser = pixels, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Resize the shorter side of pictures in folders to this, as torchvision's Resize does.
    #[arg(long, value_parser = pixels, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Then cut the square of this side from the middle, as torchvision's CenterCrop does.
    #[arg(long, value_parser = pixels, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// How --resize makes new pixels of those that they cover [default: bilinear].
    #[arg(long, value_parser = PossibleValuesParser::new(Interpolation::NAMES.map(|l| l.0)).try_map(|name| name.parse::<Interpolation>()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// Fraction of the images to test on, where folder, npz or safetensors come without a test set; the split is always the same.
    #[arg(long, value_parser = between, value_name = "FRACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
    /// Order of the axes of 4-D arrays in npz and safetensors: channels last or first.
    #[arg(long, value_parser = PossibleValuesParser::new(Layout::NAMES.map(|l| l.0)).try_map(|name| name.parse::<Layout>()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// File with the names of the classes, a line each, for idx, npz and safetensors [default: those in the files, or numbers].
    #[arg(long, value_name = "FILE.txt")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_names: Option<PathBuf>,
    /// CSV file that tells the classes of the pictures of --dataset folder, one of them a row [default: folders are classes, or
    /// train.csv or labels.csv in the folder].
    #[arg(long, value_name = "FILE.csv")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_file: Option<PathBuf>,
    /// Which split of --dataset emnist is read [default: the only one there].
    #[arg(long, value_parser = PossibleValuesParser::new(EMNIST_SPLITS))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emnist_split: Option<String>,
    /// Leave pictures of --dataset folder that cannot be read out, and say which they are; else the first one ends the command.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_broken: Option<bool>,
    /// Leave pictures as their files hold them, as torchvision does; else they are turned as their EXIF orientation says.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_exif: Option<bool>,
}

impl DatasetArgs {
    /// With the place of the files from the root on, so that it is the same from every folder.
    #[must_use]
    pub fn from_root(mut self) -> Self {
        for place in [&mut self.data_dir, &mut self.class_names, &mut self.labels_file] {
            *place = place.take().map(from_root);
        }
        self
    }

    /// What the data sets are asked for.
    pub fn options(&self) -> DataOptions {
        DataOptions {
            data_dir: self.data_dir.clone(),
            image_size: self.image_size,
            resize: self.resize,
            crop: self.crop,
            interpolation: self.interpolation,
            test_fraction: self.test_fraction,
            layout: self.layout,
            skip_broken: self.skip_broken.unwrap_or(false),
            no_exif: self.no_exif.unwrap_or(false),
            class_names: self.class_names.clone(),
            labels_file: self.labels_file.clone(),
            emnist_split: self.emnist_split.clone(),
            whole: false,
            inputs: Vec::new(),
            answers: AnswerKind::default(),
        }
    }
}
