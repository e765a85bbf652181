//! Exponential function: y = eˣ;  f′ = f″ = y.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Exponential function; made by [`exp`].
#[derive(Debug)]
pub struct Exp;

/// eˣ.
pub fn exp() -> PointwiseOp<Exp> {
    PointwiseOp(Exp)
}

impl<T: Element> Pointwise<T> for Exp {
    const NAME: &'static str = "exp";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let y = x.exp();
        [y, y, y]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(exp(), vec![normal(&[4, 5, 3], 0)]), case(exp(), vec![normal(&[37], 1)])]
}
