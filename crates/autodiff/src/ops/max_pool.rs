//! Max pooling: y[p, c] = max over the taps inside the image; the first of equal values wins, as in PyTorch.
//!
//! The residual is the winning tap of every output (its number in the window), which fixes a linear map.

use crate::op::Context;
use crate::ops::avg_pool::{each_tap, pooling_window};
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::window::Window;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// See [`max_pool`].
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

    /// Calls `f(output position, input position)` for every output and its winner.
    fn each_winner<T: Element>(&self, saved: Option<&Array<T>>, x: Shape, mut f: impl FnMut(usize, usize)) {
        let g = self.window(x).expect("checked by output_shape");
        let winners = saved.expect("the winning taps").as_slice();
        each_tap(&g, |o, i, tap| {
            let tap = T::from_f64(tap as f64);
            (0..g.c).filter(|c| winners[o + c] == tap).for_each(|c| f(o + c, i + c));
        });
    }
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
        let (mut value, mut winner) = (cx.array(y), Array::full(&cx.pool, y, -T::ONE));
        let (x, out, win) = (x.as_slice(), value.make_mut(), winner.make_mut());
        each_tap(&g, |o, i, tap| {
            let tap = T::from_f64(tap as f64);
            for c in 0..g.c {
                let v = x[i + c];
                // A NaN wins and stays, so that a non-finite value stays visible.
                if win[o + c] < T::ZERO || v > out[o + c] || v.partial_cmp(&v).is_none() {
                    out[o + c] = v;
                    win[o + c] = tap;
                }
            }
        });
        (value, Some(winner))
    }

    fn tangent(&self, saved: Option<&Array<T>>, shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        self.each_winner(saved, shapes.0, |o, i| y_dot[o] = x_dot[i]);
    }

    fn adjoint(&self, saved: Option<&Array<T>>, shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        x_bar.fill(T::ZERO);
        self.each_winner(saved, shapes.0, |o, i| x_bar[i] += y_bar[o]);
    }
}

pub(super) fn cases() -> Vec<Case> {
    // Random values differ by far more than the difference step: no kink is near.
    vec![
        case(max_pool(2, 2, 0), vec![normal(&[2, 4, 6, 3], 0)]),
        case(max_pool(3, 2, 1), vec![normal(&[2, 5, 4, 2], 0)]),
    ]
}
