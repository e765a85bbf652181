//! Gaussian error linear unit by tanh (Hendrycks and Gimpel 2016): y = xσ(v), v = √(8/π)·(x + 0.044715x³), which is ½x(1 + tanh(v/2)).
//!
//! f′ = σ + xσ′v′,  f″ = 2σ′v′ + x(σ″v′² + σ′v″).

use super::sigmoid::{sigma, sigma_slope};
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Gaussian error linear unit by tanh; made by [`gelu_tanh`].
#[derive(Debug)]
pub struct GeluTanh;

/// PyTorch's `gelu` with `approximate="tanh"`.
pub fn gelu_tanh() -> PointwiseOp<GeluTanh> {
    PointwiseOp(GeluTanh)
}

impl<T: Element> Pointwise<T> for GeluTanh {
    const NAME: &'static str = "gelu_tanh";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let c = T::from_f64;
        // √(8/π)
        let (k, cubic) = (c(1.595_769_121_605_730_8), c(0.044_715));
        let square = x * x;
        let v = k * x * (T::ONE + cubic * square);
        let (v1, v2) = (k * (T::ONE + c(3.0) * cubic * square), c(6.0) * k * cubic * x);
        let (s, s1) = (sigma(v), sigma_slope(v));
        let s2 = -s1 * (c(0.5) * v).tanh();
        [x * s, s + x * s1 * v1, (s1 + s1) * v1 + x * (s2 * v1 * v1 + s1 * v2)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(gelu_tanh(), vec![normal(&[4, 5, 3], 0)]), case(gelu_tanh(), vec![normal(&[37], 1)])]
}
