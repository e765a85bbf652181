//! Dropout (Srivastava et al. 2014): y = m⊙x/(1−p), m zero with probability p, drawn once from a stream with an address and the
//! same in every pass.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Rng, Shape, ShapeError, kernels::map};

/// Dropout; made by [`dropout`].
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    rng: Rng,
}

/// Zeroes each element with probability `p` in [0, 1) and scales the others by 1/(1−p); `rng` is a fresh stream whose address
/// says which layer at which step.
pub fn dropout(p: f64, rng: Rng) -> LinearOp<Dropout> {
    LinearOp::piecewise(Dropout { p, rng })
}

impl<T: Element> Linear<T> for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if (0.0..1.0).contains(&self.p) {
            Ok(x)
        } else {
            Err(ShapeError::new("dropout", format!("probability {} is not in [0, 1)", self.p), &[x]))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let (mut mask, mut value, mut rng) = (cx.array(y), cx.array(y), self.rng.clone());
        let kept = T::from_f64(1.0 / (1.0 - self.p));
        mask.make_mut().iter_mut().for_each(|m| *m = if rng.uniform() < self.p { T::ZERO } else { kept });
        map::binary(value.make_mut(), x.as_slice(), mask.as_slice(), |x, m| x * m);
        (value, Some(mask))
    }

    fn tangent(&self, residual: Option<&Array<T>>, _shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        map::binary(y_dot, x_dot, residual.expect("the mask").as_slice(), |x, m| x * m);
    }

    fn adjoint(&self, residual: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        self.tangent(residual, shapes, y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(dropout(0.4, Rng::new(3, "dropout", 1, 2)), vec![normal(&[5, 7], 0)])]
}
