//! Axes in another order: axis i of y is axis `axes[i]` of x; its adjoint is the inverse order.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::layout;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Permutation of axes; made by [`permute`].
#[derive(Debug)]
pub struct Permute(
    /// Axis i of y is axis `self.0[i]` of x.
    pub Vec<usize>,
);

/// x with its axes in the order `axes`, PyTorch's `permute`; a transposed matrix is `permute(&[1, 0])`.
pub fn permute(axes: &[usize]) -> LinearOp<Permute> {
    LinearOp::new(Permute(axes.to_vec()))
}

impl<T: Element> Linear<T> for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let mut seen = self.0.clone();
        seen.sort_unstable();
        if seen.iter().copied().eq(0..x.rank()) {
            Ok(Shape::new(&self.0.iter().map(|&a| x[a]).collect::<Vec<_>>()))
        } else {
            Err(ShapeError::new("permute", format!("{:?} is not an order of the axes", self.0), &[x]))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        layout::permute(x.as_slice(), x.shape(), &self.0, value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        layout::permute(x_dot, x, &self.0, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (_, y): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let mut inverse = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(i, &a)| inverse[a] = i);
        layout::permute(y_bar, y, &inverse, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(permute(&[2, 0, 1]), vec![normal(&[2, 3, 4], 0)]),
        case(permute(&[0, 2, 1, 3]), vec![normal(&[2, 3, 2, 4], 1)]),
    ]
}
