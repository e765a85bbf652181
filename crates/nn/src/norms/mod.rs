//! Normalization layers, one file each, and their table. A new norm is a file here and a row of [`NORMS`].

mod batch_norm;
mod group_norm;
mod grouped;
mod instance_norm;
mod layer_norm;
mod rms_norm;

pub use batch_norm::BatchNorm;

use crate::{Builder, Model};

/// A row of the table of norms.
#[derive(Debug)]
pub struct NormRow {
    /// The name users give.
    pub name: &'static str,
    /// What it normalizes over.
    pub about: &'static str,
    /// Builds the layer of the given name over `channels`.
    pub build: fn(&mut Builder, &str, channels: usize) -> Box<dyn Model>,
}

/// All norms.
pub const NORMS: &[NormRow] = &[
    NormRow {
        name: "bn",
        about: "BatchNorm: each channel over batch, height and width",
        build: batch_norm::build,
    },
    NormRow { name: "gn", about: "GroupNorm: each sample over groups of channels", build: group_norm::build },
    NormRow {
        name: "ln",
        about: "LayerNorm: each sample over channels, height and width",
        build: layer_norm::build,
    },
    NormRow { name: "in", about: "InstanceNorm: each channel of each sample", build: instance_norm::build },
    NormRow { name: "rms", about: "RMSNorm: each sample, no mean, no shift", build: rms_norm::build },
];

/// The default of every model.
pub const DEFAULT: &NormRow = &NORMS[0];

/// The norm called `name`.
pub fn find(name: &str) -> Option<&'static NormRow> {
    NORMS.iter().find(|n| n.name == name)
}
