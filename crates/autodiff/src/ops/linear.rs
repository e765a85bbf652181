//! A linear layer: y = x·Wᵀ. All axes of x but the last count rows.
//!
//! ```text
//! x̄ = ȳ·W, W̄ = ȳᵀ·x
//! ```

use crate::extensions::{Extensions, KroneckerFactors, Work, factors};
use crate::op::{Context, Record};
use crate::ops::{Case, case, normal};
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::conv::{self, Conv, KernelInfo};
use sph_tensor::kernels::window::Window;
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Product with a layer's weights; made by [`linear`].
#[derive(Debug)]
pub struct Linear;

/// x·Wᵀ with x [.., in] and W [out, in], PyTorch's layout; a third input is a bias `[out]`.
pub fn linear() -> BilinearOp<Linear> {
    BilinearOp(Linear)
}

/// The convolution of images of one pixel: its kernels use the weights as they lie.
fn conv(x: Shape, w: Shape) -> Conv {
    let window = Window::square([x.rows(), 1, 1, x.last()], [1; 2], 1, 0);
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

    fn extensions(&self) -> Extensions<'_, T> {
        Extensions { work: Some(self), kronecker: Some(self), ..Extensions::NONE }
    }
}

impl<T: Element> Work<T> for Linear {
    fn multiply_adds(&self, x: &[Shape], y: Shape) -> u64 {
        (y.len() * x[0].last()) as u64
    }

    fn kernels(&self, x: &[Shape]) -> Option<KernelInfo> {
        Some(conv::kernels_for::<T>(&conv(x[0], x[1])))
    }
}

impl<T: Element> KroneckerFactors<T> for Linear {
    fn kronecker_factors(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        y_bar: &Array<T>,
        bias: bool,
    ) -> [Array<T>; 2] {
        let (x, inputs, outputs) = (r.x[0], r.x[0].last(), r.x[1][0]);
        let values = r.residuals.at(0).as_slice();
        let rows = |first: usize, out: &mut [T]| out.copy_from_slice(&values[first * inputs..][..out.len()]);
        factors(cx, (x[0], x.rows() / x[0]), (inputs, outputs), y_bar.as_slice(), bias, rows)
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(linear(), vec![normal(&[4, 3], 0), normal(&[5, 3], 1)]),
        case(linear(), vec![normal(&[2, 3, 4], 0), normal(&[2, 4], 1)]),
        case(linear(), vec![normal(&[2, 3, 4], 0), normal(&[5, 4], 1), normal(&[5], 2)]),
    ]
}
