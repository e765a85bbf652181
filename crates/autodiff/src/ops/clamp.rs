//! Values kept within bounds: y = min(max(x, low), high);  f′ = 1 strictly between the bounds and 0 elsewhere, also on them, as PyTorch 2.15
//! has it for `clamp`, `hardtanh` and `relu6`.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Bounds on values; made by [`clamp`].
#[derive(Debug)]
pub struct Clamp {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// x kept within [low, high]; an infinite bound is none. NaN stays.
pub fn clamp(low: f64, high: f64) -> PointwiseOp<Clamp> {
    PointwiseOp(Clamp { low, high })
}

impl<T: Element> Pointwise<T> for Clamp {
    const NAME: &'static str = "clamp";
    const CURVED: bool = false;

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (low, high) = (T::from_f64(self.low), T::from_f64(self.high));
        let y = if x < low { low } else { x };
        let y = if y > high { high } else { y };
        [y, if (x > low) & (x < high) { T::ONE } else { T::ZERO }, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(clamp(-0.5, 0.75), vec![normal(&[4, 5, 3], 0)]),
        case(clamp(-1.0, f64::INFINITY), vec![normal(&[37], 1)]),
        case(clamp(f64::NEG_INFINITY, 0.5), vec![normal(&[2, 9], 2)]),
    ]
}
