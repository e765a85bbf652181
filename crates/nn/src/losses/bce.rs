//! Binary cross-entropy of logits.

use super::same_shape;
use crate::{Forward, LayerError};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;
use std::sync::Arc;

/// The mean binary cross-entropy between σ(output) and the targets, in [0, 1], PyTorch's `BCEWithLogitsLoss`; `targets` have `shape`, which
/// the output has, too.
///
/// # Errors
/// When the output has another shape, axes of one entry aside, or a target is outside.
pub fn bce<T: Element>(
    f: &mut Forward<'_, T>,
    output: &Var<T>,
    targets: Arc<[f64]>,
    shape: &[usize],
) -> Result<Var<T>, LayerError> {
    same_shape("bce", output.value().shape(), shape)
        .map_err(|source| LayerError { layer: "loss".into(), source })?;
    f.apply(ops::bce(targets), &[output], &[], "loss")
}
