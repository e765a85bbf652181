//! Rectifier: y = max(x, 0);  ẏ = [y > 0] ẋ;  x̄ = [y > 0] ȳ;  x̄̇ = [y > 0] ȳ̇.
//!
//! The output decides the piece, and the next layer keeps it anyway, so nothing extra is saved.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map};

/// Rectifier; made by [`relu`].
#[derive(Debug)]
pub struct Relu;

/// max(x, 0); the derivative at 0 is 0, as in PyTorch.
pub fn relu() -> LinearOp<Relu> {
    LinearOp::piecewise(Relu)
}

fn mask<T: Element>(residual: Option<&Array<T>>, x: &[T], out: &mut [T]) {
    let y = residual.expect("the output").as_slice();
    map::binary(out, x, y, |x, y| if y > T::ZERO { x } else { T::ZERO });
}

impl<T: Element> Linear<T> for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(x)
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        // NaN passes through, so that a non-finite value stays visible.
        map::unary(value.make_mut(), x.as_slice(), |x| if x < T::ZERO { T::ZERO } else { x });
        (value.clone(), Some(value))
    }

    fn tangent(&self, residual: Option<&Array<T>>, _shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        mask(residual, x_dot, y_dot);
    }

    fn adjoint(&self, residual: Option<&Array<T>>, _shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        mask(residual, y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    // Away from the kink: |x| ≥ 0.1.
    let mut x = normal(&[4, 5, 3], 0);
    x.make_mut().iter_mut().for_each(|v| *v += 0.1 * v.signum());
    vec![case(relu(), vec![x])]
}
