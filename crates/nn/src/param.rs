//! Initial values of parameters, and buffers: the state that is not trained.

use std::sync::Arc;

/// Initial values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// Every entry the same.
    Constant(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// The norm of every row of another parameter, registered before.
    RowNorms {
        /// Its number.
        of: usize,
    },
    /// These, entry by entry.
    Given(Arc<[f64]>),
}

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferKind {
    /// Real numbers, one per channel.
    Statistic,
    /// A whole number; stored as a 64-bit integer in files, as PyTorch does.
    Count,
}

/// Model state that is not trained, such as running statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferSpec {
    /// PyTorch's name, such as `bn1.running_mean`.
    pub name: String,
    /// Number of entries.
    pub len: usize,
    /// What it holds.
    pub kind: BufferKind,
    /// Initial values, one per entry.
    pub init: Arc<[f64]>,
}
