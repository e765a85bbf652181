//! |d| + ε: the absolute value with a positive perturbation (seed II-C).

use super::Rectifier;

/// |d| + ε.
#[derive(Debug, Clone, Copy)]
pub struct Absolute;

impl Rectifier for Absolute {
    fn name(&self) -> &str {
        "absolute"
    }

    fn about(&self) -> &str {
        "|d| + ε, the seed's choice"
    }

    fn rectify(&self, curvature: f64, eps: f64) -> f64 {
        curvature.abs() + eps
    }
}
