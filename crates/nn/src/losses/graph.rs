//! A network that computes its loss itself.

use crate::{Forward, LayerError};
use sph_autodiff::{Var, ops};
use sph_tensor::{Element, Shape, ShapeError};

/// The output as the loss: a single number.
///
/// # Errors
/// When it is none.
pub fn graph<T: Element>(f: &mut Forward<'_, T>, output: &Var<T>) -> Result<Var<T>, LayerError> {
    let shape = output.value().shape();
    if shape.len() != 1 {
        let reason = "the network's output is no loss, which is a single number; name another `loss`";
        let source = ShapeError::new("graph", reason, &[shape]);
        return Err(LayerError { layer: "loss".into(), source });
    }
    match shape.rank() {
        0 => Ok(output.clone()),
        _ => f.apply(ops::reshape(Shape::scalar()), &[output], &[], "loss"),
    }
}
