//! Repetition along axes of extent 1; its adjoint sums over them.

use super::sum::{add_up, spread};
use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Repetition along axes; made by [`expand`].
#[derive(Debug)]
pub struct Expand(
    /// The shape of y.
    pub Shape,
);

/// x repeated to `shape`, which has as many axes; where extents differ x's is 1.
pub fn expand(shape: Shape) -> LinearOp<Expand> {
    LinearOp::new(Expand(shape))
}

impl<T: Element> Linear<T> for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let pairs = x.dims().iter().zip(self.0.dims());
        if x.rank() == self.0.rank() && pairs.into_iter().all(|(x, y)| x == y || *x == 1) {
            return Ok(self.0);
        }
        Err(ShapeError::new("expand", format!("it does not repeat to {}", self.0), &[x]))
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, y): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        spread((y, x), T::ONE, x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, y): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        add_up((y, x), y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(expand(Shape::new(&[3, 2, 4])), vec![normal(&[1, 2, 1], 0)]),
        case(expand(Shape::new(&[3, 2, 4])), vec![normal(&[3, 1, 4], 1)]),
    ]
}
