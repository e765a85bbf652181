//! Piecewise quadratic stand-in for silu (Howard et al. 2019): y = x·min(max(x + 3, 0), 6)/6.
//!
//! f′ = x/3 + ½,  f″ = ⅓ for |x| < 3; f′ = 0 from −3 downwards and 1 from 3 upwards, as in PyTorch.

use crate::ops::{Case, case, normal, scaled};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Piecewise quadratic stand-in for silu; made by [`hardswish`].
#[derive(Debug)]
pub struct Hardswish;

/// x·min(max(x + 3, 0), 6)/6.
pub fn hardswish() -> PointwiseOp<Hardswish> {
    PointwiseOp(Hardswish)
}

impl<T: Element> Pointwise<T> for Hardswish {
    const NAME: &'static str = "hardswish";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (c, three) = (T::from_f64, T::from_f64(3.0));
        let third = c(1.0 / 3.0);
        let inside = [x * (x + three) * c(1.0 / 6.0), x * third + c(0.5), third];
        let outside = if x < T::ZERO { [T::ZERO; 3] } else { [x, T::ONE, T::ZERO] };
        if x > -three && x < three { inside } else { outside }
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(hardswish(), vec![scaled(normal(&[4, 5, 3], 0), 3.0)]),
        case(hardswish(), vec![normal(&[37], 1)]),
    ]
}
