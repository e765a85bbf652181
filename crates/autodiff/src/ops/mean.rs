//! Means over axes, which stay with extent 1: y = (1/n) Σ x; its adjoint repeats ȳ/n along them.

use super::sum::{add_up, reduced, spread};
use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Means over axes; made by [`mean`].
#[derive(Debug)]
pub struct Mean {
    /// The axes, each once.
    pub axes: Vec<usize>,
}

/// The means of x over `axes`, which stay with extent 1.
pub fn mean(axes: &[usize]) -> LinearOp<Mean> {
    LinearOp::new(Mean { axes: axes.to_vec() })
}

/// How many elements of x fall on one of y.
pub(super) fn count((x, y): (Shape, Shape)) -> f64 {
    x.len() as f64 / y.len() as f64
}

/// `out` = the means of values of shape `x` over the axes along which `y` has extent 1.
pub(super) fn average<T: Element>(shapes: (Shape, Shape), values: &[T], out: &mut [T]) {
    add_up(shapes, values, out);
    let scale = T::from_f64(1.0 / count(shapes));
    out.iter_mut().for_each(|v| *v *= scale);
}

impl<T: Element> Linear<T> for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let y = reduced("mean", x, &self.axes)?;
        if x.len() > 0 { Ok(y) } else { Err(ShapeError::new("mean", "there is nothing to average", &[x])) }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        average((x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        average(shapes, x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        spread(shapes, T::from_f64(1.0 / count(shapes)), y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(mean(&[1, 2]), vec![normal(&[2, 3, 2, 4], 0)]),
        case(mean(&[0]), vec![normal(&[3, 2], 1)]),
        case(mean(&[2]), vec![normal(&[2, 3, 5], 2)]),
    ]
}
