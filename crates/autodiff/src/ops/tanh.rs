//! Hyperbolic tangent: y = tanh x;  f′ = 1 − y²,  f″ = −2y(1 − y²).
//!
//! f′ as 4σ′(2x) of the logistic function σ: 1 − y² loses every digit where y is near ±1.

use crate::ops::sigmoid::sigma_slope;
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Hyperbolic tangent; made by [`tanh`].
#[derive(Debug)]
pub struct Tanh;

/// tanh x.
pub fn tanh() -> PointwiseOp<Tanh> {
    PointwiseOp(Tanh)
}

impl<T: Element> Pointwise<T> for Tanh {
    const NAME: &'static str = "tanh";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let y = x.tanh();
        let slope = T::from_f64(4.0) * sigma_slope(x + x);
        [y, slope, -(y + y) * slope]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(tanh(), vec![normal(&[4, 5, 3], 0)])]
}
