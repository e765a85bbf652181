//! |d| + ε: the absolute value with a positive perturbation (seed II-C).

pub(super) fn rectify(curvature: f64, eps: f64) -> f64 {
    curvature.abs() + eps
}
