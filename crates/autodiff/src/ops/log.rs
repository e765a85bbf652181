//! Natural logarithm: f′ = 1/x,  f″ = −1/x².

use crate::ops::{Case, case, positive};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Natural logarithm; made by [`log`].
#[derive(Debug)]
pub struct Log;

/// The natural logarithm of x > 0; −∞ at 0, NaN below.
pub fn log() -> PointwiseOp<Log> {
    PointwiseOp(Log)
}

impl<T: Element> Pointwise<T> for Log {
    const NAME: &'static str = "log";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let slope = T::ONE / x;
        [x.ln(), slope, -slope * slope]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(log(), vec![positive(&[4, 5, 3], 0)]), case(log(), vec![positive(&[37], 1)])]
}
