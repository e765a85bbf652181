//! Logistic function: y = σ(x) = 1/(1 + e⁻ˣ).
//!
//! f′ = σ(1 − σ),  f″ = σ(1 − σ)(1 − 2σ).
//!
//! With 1 − σ(x) = σ(−x) and 1 − 2σ(x) = −tanh(x/2), which lose no digits where σ is near 0, ½ or 1.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Logistic function; made by [`sigmoid`].
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

/// σ(x)(1 − σ(x)) as e/(1 + e)², e = exp(−|x|).
#[inline(always)]
pub(super) fn sigma_slope<T: Element>(x: T) -> T {
    let e = (-x.abs()).exp();
    let d = T::ONE + e;
    e / (d * d)
}

impl<T: Element> Pointwise<T> for Sigmoid {
    const NAME: &'static str = "sigmoid";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (s, slope) = (sigma(x), sigma_slope(x));
        [s, slope, -slope * (T::from_f64(0.5) * x).tanh()]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(sigmoid(), vec![normal(&[4, 5, 3], 0)])]
}
