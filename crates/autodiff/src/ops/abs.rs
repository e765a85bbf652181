//! Absolute value: f′ = sign x, 0 at 0 as in PyTorch.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Absolute value; made by [`abs`()].
#[derive(Debug)]
pub struct Abs;

/// |x|.
pub fn abs() -> PointwiseOp<Abs> {
    PointwiseOp(Abs)
}

impl<T: Element> Pointwise<T> for Abs {
    const NAME: &'static str = "abs";
    const CURVED: bool = false;

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let slope = if x > T::ZERO {
            T::ONE
        } else if x < T::ZERO {
            -T::ONE
        } else {
            T::ZERO
        };
        [x.abs(), slope, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(abs(), vec![normal(&[4, 5, 3], 0)]), case(abs(), vec![normal(&[37], 1)])]
}
