//! Convolutions of one tap at stride 1 without padding: matrix products on the images as they are.

use super::{Conv, ConvKernels};
use crate::Pool;
use crate::kernels::choice::KernelChoice;
use crate::kernels::gemm::View;
use crate::kernels::gemm::packed::matmul;
use crate::kernels::isa::Vector;

/// The kernels of a width.
pub(in crate::kernels) const fn kernels<V: Vector>() -> ConvKernels<V::Element> {
    ConvKernels {
        name: "matrix product",
        allowed_by: KernelChoice::Direct,
        fast_math: false,
        saving: 1.0,
        suits: |conv| conv.is_matmul() && conv.is_dense() && conv.groups == 1,
        forward: forward::<V>,
        backward_data: backward_data::<V>,
        backward_weight: backward_weight::<V>,
    }
}

/// y = x·wᵀ.
fn forward<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    w: &[V::Element],
    y: &mut [V::Element],
    _pool: &Pool<V::Element>,
) {
    let (pixels, c, out) = (conv.window.positions(), conv.window.c, conv.out);
    matmul::<V>(y, false, View::new(x, pixels, c), View::new(w, out, c).t());
}

/// x̄ = ȳ·w.
fn backward_data<V: Vector>(
    conv: &Conv,
    y_bar: &[V::Element],
    w: &[V::Element],
    x_bar: &mut [V::Element],
    _pool: &Pool<V::Element>,
) {
    let (pixels, c, out) = (conv.window.positions(), conv.window.c, conv.out);
    matmul::<V>(x_bar, false, View::new(y_bar, pixels, out), View::new(w, out, c));
}

/// w̄ = ȳᵀ·x.
fn backward_weight<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    w_bar: &mut [V::Element],
    _pool: &Pool<V::Element>,
) {
    let (pixels, c, out) = (conv.window.positions(), conv.window.c, conv.out);
    matmul::<V>(w_bar, false, View::new(y_bar, pixels, out).t(), View::new(x, pixels, c));
}
