//! A linear layer: y = x·Wᵀ. All axes of x but the last count rows.
//!
//! ```text
//! x̄ = ȳ·W, W̄ = ȳᵀ·x
//! ```

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::kronecker::factors;
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::conv::{self, Conv, KernelInfo};
use sph_tensor::kernels::window::Window;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// See [`linear`].
#[derive(Debug)]
pub struct Linear;

/// x·Wᵀ with x [.., in] and W [out, in], PyTorch's layout; a third input is a bias `[out]`.
pub fn linear() -> BilinearOp<Linear> {
    BilinearOp(Linear)
}

/// The convolution of images of one pixel: its kernels use the weights as they lie.
fn conv(x: Shape, w: Shape) -> Conv {
    let window = Window { n: x.rows(), h: 1, w: 1, c: x.last(), kh: 1, kw: 1, stride: 1, pad: 0 };
    Conv { window, out: w[0], groups: 1 }
}

impl<T: Element> Bilinear<T> for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn output_shape(&self, x: Shape, w: Shape) -> Result<Shape, ShapeError> {
        if x.rank() < 2 || w.rank() != 2 || x.last() != w[1] {
            return Err(ShapeError::new("linear", "inner dimensions differ", &[x, w]));
        }
        let mut dims = x.dims().to_vec();
        dims[x.rank() - 1] = w[0];
        Ok(Shape::new(&dims))
    }

    fn apply(&self, cx: &Context<T>, (sx, sw): (Shape, Shape), x: &[T], w: &[T], y: &mut [T]) {
        conv::forward(&conv(sx, sw), x, w, y, &cx.pool);
    }

    fn adjoint_x(&self, cx: &Context<T>, (sx, sw): (Shape, Shape), y_bar: &[T], w: &[T], x_bar: &mut [T]) {
        conv::backward_data(&conv(sx, sw), y_bar, w, x_bar, &cx.pool);
    }

    fn adjoint_w(&self, cx: &Context<T>, (sx, sw): (Shape, Shape), x: &[T], y_bar: &[T], w_bar: &mut [T]) {
        conv::backward_weight(&conv(sx, sw), x, y_bar, w_bar, &cx.pool);
    }

    fn kernels(&self, (sx, sw): (Shape, Shape)) -> Option<KernelInfo> {
        Some(conv::kernels_for::<T>(&conv(sx, sw)))
    }

    fn factors(
        &self,
        cx: &Context<T>,
        (sx, sw): (Shape, Shape),
        x: &[T],
        y_bar: &[T],
        bias: bool,
    ) -> Option<[Array<T>; 2]> {
        let inputs = sx.last();
        let rows = |first: usize, out: &mut [T]| out.copy_from_slice(&x[first * inputs..][..out.len()]);
        Some(factors(cx, (sx[0], sx.rows() / sx[0]), (inputs, sw[0]), y_bar, bias, rows))
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(linear(), vec![normal(&[4, 3], 0), normal(&[5, 3], 1)]),
        case(linear(), vec![normal(&[2, 3, 4], 0), normal(&[2, 4], 1)]),
        case(linear(), vec![normal(&[2, 3, 4], 0), normal(&[5, 4], 1), normal(&[5], 2)]),
    ]
}
