//! Powers: y = x^p;  f′ = px^(p−1),  f″ = p(p−1)x^(p−2); where a coefficient is 0, so is the derivative.

use crate::ops::{Case, away_from_zero, case, normal, positive};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Powers; made by [`pow`].
#[derive(Debug)]
pub struct Pow {
    /// The exponent p.
    pub exponent: f64,
}

/// x to the power of `exponent`. Negative x have powers of whole exponents alone, NaN otherwise.
pub fn pow(exponent: f64) -> PointwiseOp<Pow> {
    PointwiseOp(Pow { exponent })
}

impl<T: Element> Pointwise<T> for Pow {
    const NAME: &'static str = "pow";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (c, p) = (T::from_f64, self.exponent);
        if p == 2.0 {
            return [x * x, x + x, c(2.0)];
        }
        if p == 3.0 {
            let slope = c(3.0) * x * x;
            return [x * x * x, slope, c(6.0) * x];
        }
        if p == -1.0 {
            let y = T::ONE / x;
            return [y, -y * y, c(2.0) * y * y * y];
        }
        if p == 0.5 || p == -0.5 {
            let y = if p > 0.0 { x.sqrt() } else { T::ONE / x.sqrt() };
            let slope = c(p) * y / x;
            // y/x is 0/0 at 0, where slopes are infinite.
            let slope = if x == T::ZERO { c(p) / x.sqrt() } else { slope };
            return [y, slope, c(p - 1.0) * slope / x];
        }
        let term = |factor: f64, p: f64| if factor == 0.0 { T::ZERO } else { c(factor) * x.powf(c(p)) };
        [term(1.0, p), term(p, p - 1.0), term(p * (p - 1.0), p - 2.0)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(pow(2.0), vec![normal(&[4, 5, 3], 0)]),
        case(pow(3.0), vec![normal(&[37], 1)]),
        case(pow(-1.0), vec![away_from_zero(&[4, 5], 2)]),
        case(pow(0.5), vec![positive(&[4, 5], 4)]),
        case(pow(-0.5), vec![positive(&[4, 5], 5)]),
        case(pow(-0.7), vec![positive(&[4, 5], 3)]),
        case(pow(1.0), vec![normal(&[37], 1)]),
        case(pow(4.0), vec![normal(&[4, 5, 3], 0)]),
    ]
}
