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

/// Settings of max pooling, those of the height first; made an op by [`max_pool2d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Padding on both sides, at most half the window.
    pub padding: [usize; 2],
    /// Distances of taps, at least 1.
    pub dilation: [usize; 2],
    /// A last window that leads over the edge counts, if it begins inside the image or the padding before it.
    pub ceil_mode: bool,
}

/// Maxima over windows; padding never wins.
pub fn max_pool2d(settings: MaxPool) -> LinearOp<MaxPool> {
    LinearOp::piecewise(settings)
}

/// [`max_pool2d`] with `kernel`×`kernel` windows, one stride and one padding.
pub fn max_pool(kernel: usize, stride: usize, pad: usize) -> LinearOp<MaxPool> {
    let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [pad; 2]);
    max_pool2d(MaxPool { kernel, stride, padding, dilation: [1; 2], ceil_mode: false })
}

impl MaxPool {
    fn window(&self, x: Shape) -> Result<Window, ShapeError> {
        let MaxPool { kernel, stride, padding, dilation, ceil_mode } = *self;
        pooling_window("max_pool", x, (kernel, stride, padding, dilation), ceil_mode)
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
    let op = |kernel, stride, padding, dilation, ceil_mode| {
        max_pool2d(MaxPool { kernel, stride, padding, dilation, ceil_mode })
    };
    // Random values differ by far more than the difference step: no kink is near.
    vec![
        case(max_pool(2, 2, 0), vec![normal(&[2, 4, 6, 3], 0)]),
        case(max_pool(3, 2, 1), vec![normal(&[2, 5, 4, 2], 0)]),
        case(op([3, 2], [2, 3], [1, 0], [1; 2], true), vec![normal(&[2, 6, 6, 2], 1)]),
        case(op([2, 3], [1, 2], [1, 1], [2, 1], false), vec![normal(&[1, 5, 6, 2], 2)]),
    ]
}
