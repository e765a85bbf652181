//! Mean squared error.

use super::same_shape;
use crate::{Forward, LayerError};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;
use std::sync::Arc;

/// The mean of (output − target)² over all elements, PyTorch's `MSELoss`; `targets` have `shape`, which the output has, too.
///
/// # Errors
/// When the output has another shape, axes of one entry aside.
pub fn mse<T: Element>(
    f: &mut Forward<'_, T>,
    output: &Var<T>,
    targets: Arc<[f64]>,
    shape: &[usize],
) -> Result<Var<T>, LayerError> {
    same_shape("mse", output.value().shape(), shape)
        .map_err(|source| LayerError { layer: "loss".into(), source })?;
    f.apply(ops::mse(targets), &[output], &[], "loss")
}
