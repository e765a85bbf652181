//! Cosine: f′ = −sin x,  f″ = −cos x.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Cosine; made by [`cos`].
#[derive(Debug)]
pub struct Cos;

/// cos x, x in radians.
pub fn cos() -> PointwiseOp<Cos> {
    PointwiseOp(Cos)
}

impl<T: Element> Pointwise<T> for Cos {
    const NAME: &'static str = "cos";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let y = x.cos();
        [y, -x.sin(), -y]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(cos(), vec![normal(&[4, 5, 3], 0)]), case(cos(), vec![normal(&[37], 1)])]
}
