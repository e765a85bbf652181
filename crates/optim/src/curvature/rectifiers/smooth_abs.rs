//! √(d² + ε²): the absolute value, rounded at zero.

use super::Rectifier;

/// √(d² + ε²).
#[derive(Debug, Clone, Copy)]
pub struct SmoothAbs;

impl Rectifier for SmoothAbs {
    fn name(&self) -> &str {
        "smooth_abs"
    }

    fn about(&self) -> &str {
        "√(d² + ε²)"
    }

    fn rectify(&self, curvature: f64, eps: f64) -> f64 {
        (curvature * curvature + eps * eps).sqrt()
    }
}
