//! Zeros before and behind the entries of one axis; its adjoint is the slice between them.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::layout::{Axis, copy};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Zeros around one axis; made by [`pad`].
#[derive(Debug)]
pub struct Pad {
    /// The axis.
    pub axis: usize,
    /// Zeros in front.
    pub before: usize,
    /// Zeros behind.
    pub behind: usize,
}

/// x with `before` and `behind` entries of zeros around those of axis `axis`.
pub fn pad(axis: usize, before: usize, behind: usize) -> LinearOp<Pad> {
    LinearOp::new(Pad { axis, before, behind })
}

impl<T: Element> Linear<T> for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if self.axis >= x.rank() {
            return Err(ShapeError::new("pad", format!("there is no axis {}", self.axis), &[x]));
        }
        let mut dims = x.dims().to_vec();
        dims[self.axis] += self.before + self.behind;
        Ok(Shape::new(&dims))
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, y): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        y_dot.fill(T::ZERO);
        copy(x_dot, Axis::new(x, self.axis), 0, y_dot, Axis::new(y, self.axis), self.before, x[self.axis]);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, y): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        copy(y_bar, Axis::new(y, self.axis), self.before, x_bar, Axis::new(x, self.axis), 0, x[self.axis]);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(pad(1, 1, 2), vec![normal(&[2, 3, 2], 0)]), case(pad(2, 0, 1), vec![normal(&[2, 2, 3], 1)])]
}
