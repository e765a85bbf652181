//! Entries of one axis by constant numbers: y[.., j, ..] = x[.., index j, ..]; its adjoint adds each entry of ȳ to where it came from.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::layout::{Axis, put_entries, take_entries};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::sync::Arc;

/// Entries of one axis; made by [`take`].
#[derive(Debug)]
pub struct Take {
    /// The axis.
    pub axis: usize,
    /// The numbers of its entries, in any order, any of them several times.
    pub indices: Arc<[u32]>,
}

/// The entries of `axis` that `indices` name, in that order, PyTorch's `index_select`: a roll, a flip, a stride, a table of positions.
pub fn take(axis: usize, indices: Arc<[u32]>) -> LinearOp<Take> {
    LinearOp::new(Take { axis, indices })
}

impl<T: Element> Linear<T> for Take {
    fn name(&self) -> &'static str {
        "take"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if self.axis >= x.rank() {
            return Err(ShapeError::new("take", format!("there is no axis {}", self.axis), &[x]));
        }
        if let Some(i) = self.indices.iter().find(|&&i| i as usize >= x[self.axis]) {
            return Err(ShapeError::new("take", format!("axis {} has no entry {i}", self.axis), &[x]));
        }
        let mut dims = x.dims().to_vec();
        dims[self.axis] = self.indices.len();
        Ok(Shape::new(&dims))
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        take_entries(x_dot, Axis::new(x, self.axis), &self.indices, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        put_entries(y_bar, Axis::new(x, self.axis), &self.indices, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(take(1, vec![2, 0, 2, 1, 2].into()), vec![normal(&[2, 3, 4], 0)]),
        case(take(0, vec![3, 1].into()), vec![normal(&[4, 2], 1)]),
        case(take(2, vec![1, 2, 3, 0].into()), vec![normal(&[2, 3, 4], 2)]),
    ]
}
