//! The entropy of predictions, which needs no labels.

use crate::{Forward, LayerError};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// Mean entropy of the softmax of logits [N, C], in nats (Wang et al. 2021, arXiv 2006.10726).
///
/// # Errors
/// When the logits are not [N, C].
pub fn entropy<T: Element>(f: &mut Forward<'_, T>, logits: &Var<T>) -> Result<Var<T>, LayerError> {
    f.apply(ops::entropy(), &[logits], &[], "loss")
}
