//! Gaussian error linear unit (Hendrycks and Gimpel 2016), exact: y = xΦ(x), with Φ and φ the normal distribution and density.
//!
//! f′ = Φ + xφ,  f″ = (2 − x²)φ.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Gaussian error linear unit; made by [`gelu`].
#[derive(Debug)]
pub struct Gelu;

/// xΦ(x), PyTorch's default form.
pub fn gelu() -> PointwiseOp<Gelu> {
    PointwiseOp(Gelu)
}

impl<T: Element> Pointwise<T> for Gelu {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let c = T::from_f64;
        let cdf = c(0.5) * (T::ONE + (x * c(std::f64::consts::FRAC_1_SQRT_2)).erf());
        // 1/√(2π)
        let pdf = c(0.398_942_280_401_432_7) * (c(-0.5) * x * x).exp();
        [x * cdf, cdf + x * pdf, (c(2.0) - x * x) * pdf]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(gelu(), vec![normal(&[4, 5, 3], 0)])]
}
