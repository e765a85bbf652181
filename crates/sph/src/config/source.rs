//! Settings of the model that a command works on, where it has a file for it or none.

use super::values::{dataset_names, decouple_names, model_names, norm_names, row, stem_names};
use super::{DatasetArgs, NormalisationArgs};
use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_nn::losses::{LOSSES, Loss};

/// What a file does not say about its model, or what is to be taken instead.
#[derive(Args, Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelSource {
    /// Data set [default: that of the file, or digits].
    #[arg(long, value_parser = dataset_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Its files [default: as in the run or file].
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DatasetArgs,
    /// What images are normalized by.
    #[command(flatten)]
    #[serde(flatten)]
    pub normalisation: NormalisationArgs,
    /// Model [default: that of the file].
    #[arg(long, value_parser = model_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Norm between the model's layers [default: that of the file, or the model's].
    #[arg(long, value_parser = norm_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
    /// Decoupling [default: that of the file, or none]; plain weights in the file are converted.
    #[arg(long, value_parser = decouple_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decouple: Option<String>,
    /// How resnet18, 34 and 50 begin [default: that of the file, or by the images' size].
    #[arg(long, value_parser = stem_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<String>,
    /// The loss that it is evaluated by; `None`: that of the file.
    #[arg(skip)]
    #[serde(skip)]
    pub loss: Option<Loss>,
}

impl ModelSource {
    /// The same, to be evaluated by the loss called `name`, where one is named.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn with_loss(&self, name: Option<&str>) -> Result<Self> {
        let loss = name.map(|name| Ok::<_, Error>(row(LOSSES, |l| l.0, name)?.1)).transpose()?;
        Ok(ModelSource { loss, ..self.clone() })
    }
}
