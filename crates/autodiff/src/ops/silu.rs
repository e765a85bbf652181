//! Sigmoid linear unit: y = xσ(x), σ = 1/(1 + e⁻ˣ).
//!
//! f′ = σ(1 + x(1 − σ)),  f″ = σ(1 − σ)(2 + x(1 − 2σ)).

use crate::ops::sigmoid::sigma;
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// See [`silu`].
#[derive(Debug)]
pub struct Silu;

/// xσ(x), also called swish.
pub fn silu() -> PointwiseOp<Silu> {
    PointwiseOp(Silu)
}

impl<T: Element> Pointwise<T> for Silu {
    const NAME: &'static str = "silu";

    #[inline(always)]
    fn at(x: T) -> [T; 3] {
        let (s, one) = (sigma(x), T::ONE);
        let rest = one - s;
        [x * s, s * (one + x * rest), s * rest * (one + one + x * (rest - s))]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(silu(), vec![normal(&[4, 5, 3], 0)])]
}
