//! Normalization layers, one file each, and their table. A new norm is a file here and a row of [`NORMS`].

mod batch_norm;

pub use batch_norm::BatchNorm;

use crate::{Builder, Model};

/// A row of the table of norms.
pub struct NormRow {
    /// The name users give.
    pub name: &'static str,
    /// What it normalizes over.
    pub about: &'static str,
    /// Builds the layer of the given name over `channels`.
    pub build: fn(&mut Builder, &str, channels: usize) -> Box<dyn Model>,
}

/// All norms.
pub const NORMS: &[NormRow] =
    &[NormRow { name: "bn", about: "BatchNorm: over batch, height and width", build: batch_norm::build }];

/// The default of every convolutional model.
pub const DEFAULT: &NormRow = &NORMS[0];
