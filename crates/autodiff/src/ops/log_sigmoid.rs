//! Logarithm of the logistic function: y = −log(1 + e⁻ˣ);  f′ = σ(−x),  f″ = −σ(x)σ(−x).

use super::sigmoid::{sigma, sigma_slope};
use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Logarithm of the logistic function; made by [`log_sigmoid`].
#[derive(Debug)]
pub struct LogSigmoid;

/// log σ(x).
pub fn log_sigmoid() -> PointwiseOp<LogSigmoid> {
    PointwiseOp(LogSigmoid)
}

impl<T: Element> Pointwise<T> for LogSigmoid {
    const NAME: &'static str = "log_sigmoid";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let low = if x < T::ZERO { x } else { T::ZERO };
        [low - (-x.abs()).exp().ln_1p(), sigma(-x), -sigma_slope(x)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(log_sigmoid(), vec![normal(&[4, 5, 3], 0)]), case(log_sigmoid(), vec![normal(&[37], 1)])]
}
