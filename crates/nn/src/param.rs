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
    /// Those of a file.
    Given(sph_pt2::Tensor),
}

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferKind {
    /// Real numbers.
    Real,
    /// Whole numbers; stored as 64-bit integers in files, as PyTorch does.
    Whole,
    /// Zeros and ones; stored as booleans in files.
    Bool,
}

/// Model state that is not trained, such as running statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferSpec {
    /// PyTorch's name, such as `bn1.running_mean`.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it holds.
    pub kind: BufferKind,
    /// Initial values, in C order.
    pub init: Arc<[f64]>,
    /// The network was built from these values and cannot have others.
    pub fixed: bool,
}
