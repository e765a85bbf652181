//! Sine: f′ = cos x,  f″ = −sin x.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Sine; made by [`sin`].
#[derive(Debug)]
pub struct Sin;

/// sin x, x in radians.
pub fn sin() -> PointwiseOp<Sin> {
    PointwiseOp(Sin)
}

impl<T: Element> Pointwise<T> for Sin {
    const NAME: &'static str = "sin";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let y = x.sin();
        [y, x.cos(), -y]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(sin(), vec![normal(&[4, 5, 3], 0)]), case(sin(), vec![normal(&[37], 1)])]
}
