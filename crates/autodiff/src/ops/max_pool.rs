//! Max pooling: y[p, c] = max over the taps inside the image; the first of equal values wins, as in PyTorch.
//!
//! The residual is the winning tap of every output (its number in the window), which fixes a linear map.

use crate::op::Context;
use crate::ops::avg_pool::pooling_window;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::pooling::{max_taps, put_taps, take_taps};
use sph_tensor::kernels::window::Window;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Max pooling; made by [`max_pool`].
#[derive(Debug)]
pub struct MaxPool {
    /// Side of the window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Padding on every side.
    pub pad: usize,
}

/// Maxima over `kernel`×`kernel` windows; padding never wins.
pub fn max_pool(kernel: usize, stride: usize, pad: usize) -> LinearOp<MaxPool> {
    LinearOp::piecewise(MaxPool { kernel, stride, pad })
}

impl MaxPool {
    fn window(&self, x: Shape) -> Result<Window, ShapeError> {
        pooling_window("max_pool", x, self.kernel, self.stride, self.pad)
    }
}

fn winners<T: Element>(residual: Option<&Array<T>>) -> &[T] {
    residual.expect("the winning taps").as_slice()
}

impl<T: Element> Linear<T> for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let g = self.window(x)?;
        Ok(Shape::new(&[g.n, g.oh(), g.ow(), g.c]))
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let g = self.window(x.shape()).expect("checked by output_shape");
        let (mut value, mut winner) = (cx.array(y), cx.array(y));
        max_taps(&g, x.as_slice(), winner.make_mut());
        take_taps(&g, winner.as_slice(), x.as_slice(), value.make_mut());
        (value, Some(winner))
    }

    fn tangent(&self, residual: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        let g = self.window(shapes.0).expect("checked by output_shape");
        take_taps(&g, winners(residual), x_dot, y_dot);
    }

    fn adjoint(&self, residual: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let g = self.window(shapes.0).expect("checked by output_shape");
        put_taps(&g, winners(residual), y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    // Random values differ by far more than the difference step: no kink is near.
    vec![
        case(max_pool(2, 2, 0), vec![normal(&[2, 4, 6, 3], 0)]),
        case(max_pool(3, 2, 1), vec![normal(&[2, 5, 4, 2], 0)]),
    ]
}
