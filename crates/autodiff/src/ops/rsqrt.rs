//! Reciprocal square root: y = 1/√x;  f′ = −y/(2x),  f″ = 3y/(4x²).

use crate::ops::{Case, case, positive};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Reciprocal square root; made by [`rsqrt`].
#[derive(Debug)]
pub struct Rsqrt;

/// 1/√x.
pub fn rsqrt() -> PointwiseOp<Rsqrt> {
    PointwiseOp(Rsqrt)
}

impl<T: Element> Pointwise<T> for Rsqrt {
    const NAME: &'static str = "rsqrt";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (y, c) = (T::ONE / x.sqrt(), T::from_f64);
        let slope = c(-0.5) * y / x;
        [y, slope, c(-1.5) * slope / x]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(rsqrt(), vec![positive(&[4, 5, 3], 0)]), case(rsqrt(), vec![positive(&[37], 1)])]
}
