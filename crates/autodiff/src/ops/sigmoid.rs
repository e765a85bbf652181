//! Logistic function: y = σ(x) = 1/(1 + e⁻ˣ).
//!
//! f′ = σ(1 − σ),  f″ = σ(1 − σ)(1 − 2σ).

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// See [`sigmoid`].
#[derive(Debug)]
pub struct Sigmoid;

/// 1/(1 + e⁻ˣ).
pub fn sigmoid() -> PointwiseOp<Sigmoid> {
    PointwiseOp(Sigmoid)
}

/// σ(x). For large −x the exponential is infinite and σ zero, as it should be.
#[inline(always)]
pub(super) fn sigma<T: Element>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

impl<T: Element> Pointwise<T> for Sigmoid {
    const NAME: &'static str = "sigmoid";

    #[inline(always)]
    fn at(x: T) -> [T; 3] {
        let s = sigma(x);
        let slope = s * (T::ONE - s);
        [s, slope, slope * (T::ONE - s - s)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(sigmoid(), vec![normal(&[4, 5, 3], 0)])]
}
