//! √(d² + ε²): the absolute value, rounded at zero.

pub(super) fn rectify(curvature: f64, eps: f64) -> f64 {
    (curvature * curvature + eps * eps).sqrt()
}
