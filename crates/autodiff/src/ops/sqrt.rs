//! Square root: f′ = 1/(2y),  f″ = −1/(4y³).

use crate::ops::{Case, case, positive};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Square root; made by [`sqrt`].
#[derive(Debug)]
pub struct Sqrt;

/// √x; slopes at 0 are infinite, as in PyTorch.
pub fn sqrt() -> PointwiseOp<Sqrt> {
    PointwiseOp(Sqrt)
}

impl<T: Element> Pointwise<T> for Sqrt {
    const NAME: &'static str = "sqrt";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (y, c) = (x.sqrt(), T::from_f64);
        let slope = c(0.5) / y;
        [y, slope, -c(0.5) * slope / x]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(sqrt(), vec![positive(&[4, 5, 3], 0)]), case(sqrt(), vec![positive(&[37], 1)])]
}
