//! Average pooling: y[p, c] = Σ_{taps inside} x[tap, c] / (kh·kw); padding counts as zeros, as in PyTorch.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::pooling::{spread_taps, sum_taps};
use sph_tensor::kernels::window::Window;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Average pooling; made by [`avg_pool`].
#[derive(Debug)]
pub struct AvgPool {
    /// Side of the window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Padding on every side.
    pub pad: usize,
}

/// Means over `kernel`×`kernel` windows.
pub fn avg_pool(kernel: usize, stride: usize, pad: usize) -> LinearOp<AvgPool> {
    LinearOp::new(AvgPool { kernel, stride, pad })
}

/// The window of a pooling op over NHWC images.
///
/// # Errors
/// When the input is not NHWC, the window does not fit, or the padding is more than half the window.
pub(super) fn pooling_window(
    op: &'static str,
    x: Shape,
    kernel: usize,
    stride: usize,
    pad: usize,
) -> Result<Window, ShapeError> {
    let &[n, h, w, c] = x.dims() else {
        return Err(ShapeError::new(op, "expects NHWC images", &[x]));
    };
    let window = Window { n, h, w, c, kh: kernel, kw: kernel, stride, pad };
    if !window.fits() || 2 * pad > kernel {
        let reason =
            format!("a {kernel}×{kernel} window with stride {stride} and padding {pad} does not fit");
        return Err(ShapeError::new(op, reason, &[x]));
    }
    Ok(window)
}

impl AvgPool {
    fn window(&self, x: Shape) -> Result<Window, ShapeError> {
        pooling_window("avg_pool", x, self.kernel, self.stride, self.pad)
    }

    fn scale<T: Element>(&self) -> T {
        T::from_f64(1.0 / (self.kernel * self.kernel) as f64)
    }
}

impl<T: Element> Linear<T> for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let g = self.window(x)?;
        Ok(Shape::new(&[g.n, g.oh(), g.ow(), g.c]))
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        let g = self.window(shapes.0).expect("checked by output_shape");
        sum_taps(&g, self.scale(), x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let g = self.window(shapes.0).expect("checked by output_shape");
        spread_taps(&g, self.scale(), y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(avg_pool(2, 2, 0), vec![normal(&[2, 4, 6, 3], 0)]),
        case(avg_pool(3, 2, 1), vec![normal(&[2, 5, 4, 2], 0)]),
    ]
}
