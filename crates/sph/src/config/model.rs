//! Settings of the model.

use super::OptArgs;
use super::values::{below_one, decouple_names, model_names, norm_names, row, stem_names};
use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_nn::models::{self, ModelConfig, STEMS, Stem};
use sph_nn::norms;
use sph_optim::presets::Context;
use sph_train::files::GraphFile;
use std::path::Path;

/// The model and how it is built.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelArgs {
    /// Model: a name, or a network of your own in a file NET.pt2.
    ///
    /// torch.export.save writes such a file; its weights are the beginning.
    #[arg(long, default_value = models::DEFAULT, value_parser = model_names())]
    pub model: String,
    /// Norm between the model's layers [default: bn; vit_tiny and mlp_mixer: ln].
    #[arg(long, value_parser = norm_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
    /// Split weights into magnitudes, which get second-order steps with the biases, and directions.
    #[arg(long, default_value = "none", value_parser = decouple_names())]
    pub decouple: String,
    /// How resnet18, 34 and 50 begin [default: by the images' size].
    #[arg(long, value_parser = stem_names())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<String>,
    /// Probability of dropout in vit_tiny and mlp_mixer.
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    pub dropout: f64,
}

/// The stem called `name`.
fn stem(name: Option<&str>) -> Result<Option<Stem>> {
    name.map(|n| row(STEMS, |s| s.0, n).map(|s| s.1)).transpose()
}

/// That a graph has its own norms and stem.
///
/// # Errors
/// When others are named.
pub(crate) fn refuse_own(norm: &Option<String>, stem: &Option<String>) -> Result<()> {
    let given = [("norm", norm), ("stem", stem)];
    match given.into_iter().find_map(|(flag, value)| Some((flag, value.clone()?))) {
        None => Ok(()),
        Some((flag, value)) => Err(Error::flag(
            flag,
            value,
            "belongs to this program's own models; a .pt2 file has its own layers",
        )),
    }
}

/// The norm called `name`, or the one that `model` has by default.
pub(crate) fn norm(name: Option<&str>, model: &str) -> Result<&'static norms::NormRow> {
    match name {
        Some(name) => row(norms::NORMS, |n| n.name, name),
        None => Ok(models::find(model)?.default_norm()),
    }
}

impl ModelArgs {
    /// The file of a network that is no model of this program.
    ///
    /// # Errors
    /// When it cannot be read, or settings are given that such a network has of its own.
    pub fn graph(&self) -> Result<Option<GraphFile>> {
        if !GraphFile::is_one(&self.model) {
            return Ok(None);
        }
        refuse_own(&self.norm, &self.stem)?;
        if self.dropout != 0.0 {
            let reason =
                "belongs to this program's own models; a .pt2 file has the dropout that it was exported with";
            return Err(Error::flag("dropout", self.dropout.to_string(), reason));
        }
        Ok(Some(GraphFile::read(Path::new(&self.model))?))
    }

    /// What it says about the model, for images of these channels and size.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn config(&self, channels: usize, size: (usize, usize), classes: usize) -> Result<ModelConfig> {
        Ok(ModelConfig {
            norm: norm(self.norm.as_deref(), &self.model)?,
            decouple: self.decouples(),
            stem: stem(self.stem.as_deref())?,
            dropout: self.dropout,
            ..ModelConfig::new(channels, size, classes)
        })
    }

    /// The optimizer's settings, with what suits the model where none are given.
    ///
    /// # Errors
    /// When a name is unknown, or settings do not fit each other.
    pub fn suited(&self, optimizer: OptArgs) -> Result<OptArgs> {
        if let Some(file) = self.graph()? {
            let network = file.build(self.decouples())?;
            let context = Context { norms: network.norms, tokens: network.tokens, ..Context::default() };
            return optimizer.suited(&context);
        }
        let tokens = models::find(&self.model)?.tokens;
        let norms = norm(self.norm.as_deref(), &self.model)?.normalizes;
        optimizer.suited(&Context { norms, tokens, ..Context::default() })
    }

    /// Layers that no norm follows are decoupled.
    pub fn decouples(&self) -> bool {
        self.decouple == "auto"
    }
}
