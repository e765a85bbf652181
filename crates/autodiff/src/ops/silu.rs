//! Sigmoid linear unit: y = xσ(x), σ = 1/(1 + e⁻ˣ).
//!
//! f′ = σ + xσ(1 − σ),  f″ = σ(1 − σ)(2 + x(1 − 2σ)), with σ(1 − σ) and 1 − 2σ as in the sigmoid.

use crate::ops::sigmoid::{sigma, sigma_slope};
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Sigmoid linear unit; made by [`silu`].
#[derive(Debug)]
pub struct Silu;

/// xσ(x), also called swish.
pub fn silu() -> PointwiseOp<Silu> {
    PointwiseOp(Silu)
}

impl<T: Element> Pointwise<T> for Silu {
    const NAME: &'static str = "silu";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (s, slope, two) = (sigma(x), sigma_slope(x), T::from_f64(2.0));
        [x * s, s + x * slope, slope * (two - x * (T::from_f64(0.5) * x).tanh())]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(silu(), vec![normal(&[4, 5, 3], 0)])]
}
