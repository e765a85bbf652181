//! Error function: f′ = (2/√π) exp(−x²),  f″ = −2x f′.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Error function; made by [`erf`].
#[derive(Debug)]
pub struct Erf;

/// erf x.
pub fn erf() -> PointwiseOp<Erf> {
    PointwiseOp(Erf)
}

impl<T: Element> Pointwise<T> for Erf {
    const NAME: &'static str = "erf";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let slope = T::from_f64(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp();
        [x.erf(), slope, -(x + x) * slope]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(erf(), vec![normal(&[4, 5, 3], 0)]), case(erf(), vec![normal(&[37], 1)])]
}
