//! Which model it is: what files say of themselves, and what the model is built from.

use crate::config;
use crate::data::{Dataset, Normalisation};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sph_nn::Network;
use sph_nn::models::{self, ModelConfig};

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
    /// The size that images were made to have, if another than their own.
    pub image_size: Option<usize>,
    /// The data set it was trained on.
    pub dataset: String,
    /// What was done to pixels: (value − mean)/std per channel, on the files' own scale.
    pub normalisation: Normalisation,
}

impl ModelInfo {
    /// The model, for images like those of `data`, with this dropout in training.
    ///
    /// # Errors
    /// When a name is unknown, or the model does not have what is said of it.
    pub fn build(&self, data: &Dataset, dropout: f64) -> Result<Network> {
        let (h, w, c) = data.train.size;
        let config = ModelConfig {
            norm: config::norm(Some(&self.norm), &self.model)?,
            decouple: self.decouple,
            stem: config::stem(self.stem.as_deref())?,
            dropout,
            ..ModelConfig::new(c, (h, w), data.classes)
        };
        models::build(&self.model, &config).map_err(|e| Error::Config(e.to_string()))
    }
}
