//! Normalization layers, one file each, and their table. A new norm is a file here and a row of [`NORMS`].

mod batch_norm;
mod group_norm;
mod grouped;
mod instance_norm;
mod layer_norm;
mod none;
mod rms_norm;

pub use batch_norm::BatchNorm;

use crate::{Builder, Model};

/// Builds the layer of the given name over a number of channels.
pub type BuildNorm = fn(&mut Builder, &str, channels: usize) -> Box<dyn Model>;

/// A row of the table of norms.
#[derive(Debug)]
pub struct NormRow {
    /// The name users give.
    pub name: &'static str,
    /// What it normalizes over.
    pub about: &'static str,
    /// It normalizes: false for `none` alone.
    pub normalizes: bool,
    /// Builds the layer of the given name over `channels`.
    pub build: BuildNorm,
    /// The same for tokens, each normalized on its own; `None` where that makes no sense.
    pub tokens: Option<BuildNorm>,
}

/// All norms.
pub const NORMS: &[NormRow] = &[
    NormRow {
        name: "bn",
        about: "BatchNorm: each channel over batch, height and width",
        normalizes: true,
        build: batch_norm::build,
        tokens: None,
    },
    NormRow {
        name: "gn",
        about: "GroupNorm: each sample over groups of channels",
        normalizes: true,
        build: group_norm::build,
        tokens: None,
    },
    NormRow {
        name: "ln",
        about: "LayerNorm: each sample over channels, height and width",
        normalizes: true,
        build: layer_norm::build,
        tokens: Some(layer_norm::tokens),
    },
    NormRow {
        name: "in",
        about: "InstanceNorm: each channel of each sample",
        normalizes: true,
        build: instance_norm::build,
        tokens: None,
    },
    NormRow {
        name: "rms",
        about: "RMSNorm: each sample, no mean, no shift",
        normalizes: true,
        build: rms_norm::build,
        tokens: Some(rms_norm::tokens),
    },
    NormRow {
        name: "none",
        about: "no norm; convolutions get a bias",
        normalizes: false,
        build: none::build,
        tokens: None,
    },
];

/// The default of models of images.
pub const DEFAULT: &NormRow = &NORMS[0];

/// The norm called `name`.
pub fn find(name: &str) -> Option<&'static NormRow> {
    NORMS.iter().find(|n| n.name == name)
}
