//! Losses of what a network computes, one file each, and their table.

mod bce;
mod cross_entropy;
mod entropy;
mod graph;
mod mse;

pub use bce::bce;
pub use cross_entropy::cross_entropy;
pub use entropy::entropy;
pub use graph::graph;
pub use mse::mse;
pub use sph_autodiff::ops::{Mixed, Targets};

use sph_tensor::{Shape, ShapeError};

/// The kinds of losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// [`cross_entropy`] against classes.
    CrossEntropy,
    /// [`mse`] against numbers.
    Mse,
    /// [`bce`] against probabilities.
    Bce,
    /// [`graph`]: the network computes its loss itself.
    Graph,
    /// [`entropy`] of the predictions; nothing is to be answered.
    Entropy,
}

impl Loss {
    /// The name users give.
    pub fn name(self) -> &'static str {
        LOSSES.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }

    /// The network's output is logits of classes.
    pub fn has_classes(self) -> bool {
        matches!(self, Loss::CrossEntropy | Loss::Entropy)
    }

    /// What a network that is trained by it is evaluated by: itself, or for [`Loss::Entropy`], which needs no labels, cross-entropy.
    #[must_use]
    pub fn of_evaluation(self) -> Self {
        match self {
            Loss::Entropy => Loss::CrossEntropy,
            loss => loss,
        }
    }
}

/// The losses by the names users give, and what they are.
pub const LOSSES: &[(&str, Loss, &str)] = &[
    ("cross-entropy", Loss::CrossEntropy, "softmax cross-entropy against labels, of samples or of tokens"),
    ("mse", Loss::Mse, "mean squared error against numbers"),
    ("bce", Loss::Bce, "binary cross-entropy of logits against numbers from 0 to 1"),
    ("graph", Loss::Graph, "what the network computes is its loss, a single number"),
    ("entropy", Loss::Entropy, "entropy of the predictions, without labels (TENT)"),
];

/// Refuses numbers of shape `targets` for an output of another one; axes of one entry do not count.
fn same_shape(op: &'static str, output: Shape, targets: &[usize]) -> Result<(), ShapeError> {
    let without = |dims: &[usize]| dims.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    match without(output.dims()) == without(targets) {
        true => Ok(()),
        false => {
            let reason =
                format!("the numbers to be answered are {targets:?}, the network's output is another");
            Err(ShapeError::new(op, reason, &[output]))
        }
    }
}

#[test]
fn every_loss_has_a_row_and_a_name() {
    use Loss::*;
    for loss in [CrossEntropy, Mse, Bce, Graph, Entropy] {
        assert_eq!(LOSSES.iter().filter(|row| row.0 == loss.name()).count(), 1, "{loss:?}");
    }
}
