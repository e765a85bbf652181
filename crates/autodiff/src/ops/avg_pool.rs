//! Average pooling: y[p, c] = Σ_{taps inside} x[tap, c] / n; n is the taps of the window, or those inside the image, as in PyTorch.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::pooling::{Rectangles, spread_rectangles, sum_rectangles};
use sph_tensor::kernels::window::Window;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Settings of average pooling, those of the height first; made an op by [`avg_pool2d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Padding on both sides, at most half the window.
    pub padding: [usize; 2],
    /// A last window that leads over the edge counts, if it begins inside the image or the padding before it. What it has beyond the padding is
    /// never counted.
    pub ceil_mode: bool,
    /// Padding counts as zeros; otherwise means are over what is inside the image.
    pub count_include_pad: bool,
}

/// Means over windows.
pub fn avg_pool2d(settings: AvgPool) -> LinearOp<AvgPool> {
    LinearOp::new(settings)
}

/// [`avg_pool2d`] with `kernel`×`kernel` windows, one stride and one padding, which counts.
pub fn avg_pool(kernel: usize, stride: usize, pad: usize) -> LinearOp<AvgPool> {
    let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [pad; 2]);
    avg_pool2d(AvgPool { kernel, stride, padding, ceil_mode: false, count_include_pad: true })
}

/// The window of a pooling op over NHWC images: kernel, stride, padding and dilation.
///
/// # Errors
/// When the input is not NHWC, the window does not fit, the padding is more than half the window, or a window has nothing of the image.
pub(super) fn pooling_window(
    op: &'static str,
    x: Shape,
    (kernel, stride, pad, dilation): ([usize; 2], [usize; 2], [usize; 2], [usize; 2]),
    ceil_mode: bool,
) -> Result<Window, ShapeError> {
    let &[n, h, w, c] = x.dims() else {
        return Err(ShapeError::new(op, "expects NHWC images", &[x]));
    };
    let floor = Window { stride, pad, dilation, ..Window::square([n, h, w, c], kernel, 1, 0) };
    let refuse = || {
        let [kh, kw] = kernel;
        let reason = format!(
            "a {kh}×{kw} window with stride {stride:?}, padding {pad:?} and dilation {dilation:?} does not fit"
        );
        ShapeError::new(op, reason, &[x])
    };
    if !floor.fits() || (0..2).any(|axis| 2 * pad[axis] > kernel[axis]) {
        return Err(refuse());
    }
    let mut window = floor;
    if ceil_mode {
        // One more window where the last ones leave something, unless it would begin behind the image.
        let counts = [floor.oh(), floor.ow()];
        for axis in 0..2 {
            let (extent, start) = ([h, w][axis], counts[axis] * stride[axis]);
            let end = start + dilation[axis] * (kernel[axis] - 1) + 1;
            let padded = extent + 2 * pad[axis];
            if end - stride[axis] < padded && start < extent + pad[axis] {
                window.extra[axis] = end - padded;
            }
        }
    }
    let empty = |axis: usize, count: usize| (0..count).any(|out| window.taps(axis, out).2 == 0);
    if empty(0, window.oh()) || empty(1, window.ow()) {
        return Err(refuse());
    }
    Ok(window)
}

impl AvgPool {
    fn window(&self, x: Shape) -> Result<Window, ShapeError> {
        pooling_window("avg_pool", x, (self.kernel, self.stride, self.padding, [1; 2]), self.ceil_mode)
    }

    /// The parts of the image that windows see, and 1/n of each.
    fn plan<T: Element>(&self, x: Shape) -> (Rectangles, Vec<T>) {
        let g = self.window(x).expect("checked by output_shape");
        let rectangles = Rectangles::of_window(&g);
        let counted = |axis: usize, out: usize, inside: usize| {
            let (start, extent) = (out * self.stride[axis], [g.h, g.w][axis] + 2 * self.padding[axis]);
            if self.count_include_pad { (start + self.kernel[axis]).min(extent) - start } else { inside }
        };
        let mut scales = Vec::with_capacity(rectangles.rows.len() * rectangles.cols.len());
        for (oy, rows) in rectangles.rows.iter().enumerate() {
            for (ox, cols) in rectangles.cols.iter().enumerate() {
                let n = counted(0, oy, rows.len()) * counted(1, ox, cols.len());
                scales.push(T::from_f64(1.0 / n as f64));
            }
        }
        (rectangles, scales)
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
        let (rectangles, scales) = self.plan(shapes.0);
        sum_rectangles(&rectangles, &scales, x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        let (rectangles, scales) = self.plan(shapes.0);
        spread_rectangles(&rectangles, &scales, y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    let op = |kernel, stride, padding, ceil_mode, count_include_pad| {
        avg_pool2d(AvgPool { kernel, stride, padding, ceil_mode, count_include_pad })
    };
    vec![
        case(avg_pool(2, 2, 0), vec![normal(&[2, 4, 6, 3], 0)]),
        case(avg_pool(3, 2, 1), vec![normal(&[2, 5, 4, 2], 0)]),
        case(op([3, 2], [2, 3], [1, 0], true, true), vec![normal(&[2, 6, 6, 2], 1)]),
        case(op([2, 3], [3, 2], [1, 1], true, false), vec![normal(&[1, 5, 6, 2], 2)]),
    ]
}
