//! Which model it is: what files say of themselves, and what the model is built from.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sph_data::{DataOptions, Dataset, Normalisation};
use sph_nn::Network;
use sph_nn::losses::{LOSSES, Loss};
use sph_nn::models::{self, ModelConfig, STEMS};
use sph_nn::norms;

/// What a model file says about itself, beside PyTorch's tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The model's name.
    pub model: String,
    /// The norm between its layers, by name.
    pub norm: String,
    /// Layers that no norm follows are decoupled.
    pub decouple: bool,
    /// The stem, where it was named.
    #[serde(default)]
    pub stem: Option<String>,
    /// The data set it was trained on.
    pub dataset: String,
    /// How that was read; where it was is nobody else's business.
    #[serde(default)]
    pub data: DataOptions,
    /// Height, width and channels of the images it takes.
    pub input: (usize, usize, usize),
    /// What the classes are called, in the order of the outputs.
    pub class_names: Vec<String>,
    /// What was done to pixels: (value − mean)/std per channel, on the files' own scale.
    pub normalisation: Normalisation,
    /// The loss that it was trained with, by name.
    #[serde(default = "cross_entropy", skip_serializing_if = "is_cross_entropy")]
    pub loss: String,
}

fn cross_entropy() -> String {
    Loss::CrossEntropy.name().into()
}

fn is_cross_entropy(loss: &str) -> bool {
    loss == Loss::CrossEntropy.name()
}

impl ModelInfo {
    /// A model of the given name and norm, whole, for the images and classes of `data`.
    pub fn new(model: &str, norm: &str, dataset: &str, options: &DataOptions, data: &Dataset) -> Self {
        ModelInfo {
            model: model.into(),
            norm: norm.into(),
            decouple: false,
            stem: None,
            dataset: dataset.into(),
            data: options.without_places(),
            input: data.train.size,
            class_names: data.class_names.clone(),
            normalisation: data.normalisation.clone(),
            loss: cross_entropy(),
        }
    }

    /// The loss.
    ///
    /// # Errors
    /// When its name is unknown.
    pub fn loss(&self) -> Result<Loss> {
        let row = LOSSES.iter().find(|row| row.0 == self.loss);
        row.map(|row| row.1).ok_or_else(|| Error::UnknownName(self.loss.clone()))
    }

    /// The model, with this dropout in training.
    ///
    /// # Errors
    /// When a name is unknown, or the model does not have what is said of it.
    pub fn build(&self, dropout: f64) -> Result<Network> {
        let (h, w, c) = self.input;
        let unknown = |name: &str| Error::UnknownName(name.into());
        let stem = |name: &str| {
            let row = STEMS.iter().find(|row| row.0 == name);
            row.map(|row| row.1).ok_or_else(|| unknown(name))
        };
        let config = ModelConfig {
            norm: norms::find(&self.norm).ok_or_else(|| unknown(&self.norm))?,
            decouple: self.decouple,
            stem: self.stem.as_deref().map(stem).transpose()?,
            dropout,
            ..ModelConfig::new(c, (h, w), self.class_names.len())
        };
        Ok(models::build(&self.model, &config)?)
    }
}
