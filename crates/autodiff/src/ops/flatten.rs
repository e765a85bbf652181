//! Images to rows: y[n, (c, h, w)] = x[n, h, w, c]. The order of the features is PyTorch's (NCHW), so that a linear layer behind
//! it has the same weights.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Images to rows; made by [`flatten`].
#[derive(Debug)]
pub struct Flatten;

/// NHWC images to [N, C·H·W] rows in CHW order; rows stay as they are.
pub fn flatten() -> LinearOp<Flatten> {
    LinearOp::new(Flatten)
}

/// Calls `f(position in x, position in y)` for every element.
fn each(x: Shape, mut f: impl FnMut(usize, usize)) {
    let &[n, h, w, c] = x.dims() else {
        return (0..x.len()).for_each(|i| f(i, i));
    };
    let hw = h * w;
    for n in 0..n {
        for p in 0..hw {
            for c_i in 0..c {
                f((n * hw + p) * c + c_i, (n * c + c_i) * hw + p);
            }
        }
    }
}

impl<T: Element> Linear<T> for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        match *x.dims() {
            [n, h, w, c] => Ok(Shape::new(&[n, h * w * c])),
            [_, _] => Ok(x),
            _ => Err(ShapeError::new("flatten", "expects NHWC images or rows", &[x])),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        each(shapes.0, |i, j| y_dot[j] = x_dot[i]);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        each(shapes.0, |i, j| x_bar[i] = y_bar[j]);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(flatten(), vec![normal(&[2, 3, 2, 4], 0)]), case(flatten(), vec![normal(&[3, 5], 0)])]
}
