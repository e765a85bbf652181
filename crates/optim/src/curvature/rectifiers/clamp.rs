//! max(d, ε): negative curvature counts as flat.

use super::Rectifier;

/// max(d, ε).
#[derive(Debug, Clone, Copy)]
pub struct Clamp;

impl Rectifier for Clamp {
    fn name(&self) -> &str {
        "clamp"
    }

    fn about(&self) -> &str {
        "max(d, ε)"
    }

    fn rectify(&self, curvature: f64, eps: f64) -> f64 {
        curvature.max(eps)
    }
}
