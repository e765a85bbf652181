//! Sums over axes, which stay with extent 1: y = Σ x; its adjoint repeats ȳ along them.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::broadcast::{self, Broadcast, Operand};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Sums over axes; made by [`sum`].
#[derive(Debug)]
pub struct Sum {
    /// The axes, each once.
    pub axes: Vec<usize>,
}

/// The sums of x over `axes`, which stay with extent 1.
pub fn sum(axes: &[usize]) -> LinearOp<Sum> {
    LinearOp::new(Sum { axes: axes.to_vec() })
}

/// x's shape with extent 1 along `axes`.
///
/// # Errors
/// When an axis is not there or named twice.
pub(super) fn reduced(op: &'static str, x: Shape, axes: &[usize]) -> Result<Shape, ShapeError> {
    let mut dims = x.dims().to_vec();
    for (i, &axis) in axes.iter().enumerate() {
        if axis >= x.rank() || axes[..i].contains(&axis) {
            return Err(ShapeError::new(op, format!("{axes:?} are not axes of it, each once"), &[x]));
        }
        dims[axis] = 1;
    }
    Ok(Shape::new(&dims))
}

/// `out = Σ x` over the axes along which `y` has extent 1, of an array of shape `x`.
pub(super) fn add_up<T: Element>((x, y): (Shape, Shape), values: &[T], out: &mut [T]) {
    broadcast::sum(&Broadcast::new(x, &[y]), 0, out, [Operand::Full(values)], |[x]| x);
}

/// `out = factor·values`, repeated along the axes along which `y`, the shape of the values, has extent 1.
pub(super) fn spread<T: Element>((x, y): (Shape, Shape), factor: T, values: &[T], out: &mut [T]) {
    broadcast::map(&Broadcast::new(x, &[y]), out, [Operand::Part(0, values)], |[y]| factor * y);
}

impl<T: Element> Linear<T> for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        reduced("sum", x, &self.axes)
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        add_up((x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        add_up(shapes, x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        spread(shapes, T::ONE, y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(sum(&[0, 2]), vec![normal(&[3, 2, 4], 0)]),
        case(sum(&[2, 1]), vec![normal(&[2, 3, 2, 4], 1)]),
        case(sum(&[3]), vec![normal(&[2, 3, 1, 4], 2)]),
        case(sum(&[0, 1]), vec![normal(&[3, 4], 3)]),
        case(sum(&[]), vec![normal(&[3], 4)]),
    ]
}
