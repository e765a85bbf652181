//! Losses of logits, one file each, and their table.

mod cross_entropy;
mod entropy;

pub use cross_entropy::cross_entropy;
pub use entropy::entropy;
pub use sph_autodiff::ops::{Mixed, Targets};

/// The kinds of losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// [`cross_entropy`] against the targets.
    CrossEntropy,
    /// [`entropy`] of the predictions; targets are ignored.
    Entropy,
}

/// The losses by the names users give, and what they are.
pub const LOSSES: &[(&str, Loss, &str)] = &[
    ("cross-entropy", Loss::CrossEntropy, "softmax cross-entropy against labels"),
    ("entropy", Loss::Entropy, "entropy of the predictions, without labels (TENT)"),
];
