//! Mish (Misra 2019): y = xt, t = tanh(log(1 + eˣ)).
//!
//! t′ = (1 − t²)σ,  t″ = (1 − t²)(σ′ − 2tσ²);  f′ = t + xt′,  f″ = 2t′ + xt″. With q = e^(−|x|), t is a ratio of polynomials in q.

use super::sigmoid::{sigma, sigma_slope};
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Mish; made by [`mish`].
#[derive(Debug)]
pub struct Mish;

/// x·tanh(log(1 + eˣ)).
pub fn mish() -> PointwiseOp<Mish> {
    PointwiseOp(Mish)
}

impl<T: Element> Pointwise<T> for Mish {
    const NAME: &'static str = "mish";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let two = T::from_f64(2.0);
        let q = (-x.abs()).exp();
        // t = n/(n + rest), all of them sums of positive terms.
        let (n, rest) = if x < T::ZERO { (q * (q + two), two) } else { (T::ONE + two * q, two * q * q) };
        let d = T::ONE / (n + rest);
        let t = n * d;
        let (s, s1) = (sigma(x), sigma_slope(x));
        let r = rest * d * (T::ONE + t);
        let (t1, t2) = (r * s, r * (s1 - two * t * s * s));
        [x * t, t + x * t1, two * t1 + x * t2]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(mish(), vec![normal(&[4, 5, 3], 0)]), case(mish(), vec![normal(&[37], 1)])]
}
