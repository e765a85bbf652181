//! Smooth rectifier: y = log(1 + e^(βx))/β;  f′ = σ(βx),  f″ = βσ(βx)σ(−βx); y = x where βx is above the threshold.

use super::sigmoid::{sigma, sigma_slope};
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Smooth rectifier; made by [`softplus`].
#[derive(Debug)]
pub struct Softplus {
    /// Sharpness β > 0.
    pub beta: f64,
    /// Where the function becomes x, in units of βx.
    pub threshold: f64,
}

/// log(1 + exp(beta·x))/beta, and x where beta·x > `threshold`, as in PyTorch (whose defaults are 1 and 20).
pub fn softplus(beta: f64, threshold: f64) -> PointwiseOp<Softplus> {
    PointwiseOp(Softplus { beta, threshold })
}

impl<T: Element> Pointwise<T> for Softplus {
    const NAME: &'static str = "softplus";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let beta = T::from_f64(self.beta);
        let (z, threshold) = (beta * x, T::from_f64(self.threshold));
        let y = (z.max(T::ZERO) + (-z.abs()).exp().ln_1p()) / beta;
        let curve = if z < threshold { beta * sigma_slope(z) } else { T::ZERO };
        if z > threshold { [x, T::ONE, T::ZERO] } else { [y, sigma(z), curve] }
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(softplus(1.5, 20.0), vec![normal(&[4, 5, 3], 0)]),
        case(softplus(2.0, 1.0), vec![normal(&[37], 1)]),
    ]
}
