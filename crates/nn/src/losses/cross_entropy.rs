//! Softmax cross-entropy against classes, or mixtures of two.

use crate::{Forward, LayerError};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// Mean cross-entropy of logits [N, C]; `smoothing` in [0, 1).
///
/// # Errors
/// When the logits do not match the targets.
pub fn cross_entropy<T: Element>(
    f: &mut Forward<'_, T>,
    logits: &Var<T>,
    targets: ops::Targets,
    smoothing: f64,
) -> Result<Var<T>, LayerError> {
    f.apply(ops::cross_entropy(targets, smoothing), &[logits], &[], "loss")
}
