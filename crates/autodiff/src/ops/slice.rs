//! A stretch of one axis: y = x[.., start..end, ..]; its adjoint pads with zeros.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::layout::{Axis, copy};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::ops::Range;

/// A stretch of one axis; made by [`slice()`].
#[derive(Debug)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// The entries that stay.
    pub range: Range<usize>,
}

/// The entries `range` of axis `axis`; the axis stays, however short.
pub fn slice(axis: usize, range: Range<usize>) -> LinearOp<Slice> {
    LinearOp::new(Slice { axis, range })
}

impl<T: Element> Linear<T> for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if self.axis >= x.rank() || self.range.is_empty() || self.range.end > x[self.axis] {
            let reason = format!("entries {:?} of axis {} are not there", self.range, self.axis);
            return Err(ShapeError::new("slice", reason, &[x]));
        }
        let mut dims = x.dims().to_vec();
        dims[self.axis] = self.range.len();
        Ok(Shape::new(&dims))
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, y): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        let (from, to) = (Axis::new(x, self.axis), Axis::new(y, self.axis));
        copy(x_dot, from, self.range.start, y_dot, to, 0, self.range.len());
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, y): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        x_bar.fill(T::ZERO);
        let (from, to) = (Axis::new(y, self.axis), Axis::new(x, self.axis));
        copy(y_bar, from, 0, x_bar, to, self.range.start, self.range.len());
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(slice(0, 1..2), vec![normal(&[3, 2, 2], 0)]),
        case(slice(1, 0..2), vec![normal(&[2, 3, 2], 1)]),
        case(slice(2, 1..4), vec![normal(&[2, 2, 4], 2)]),
    ]
}
