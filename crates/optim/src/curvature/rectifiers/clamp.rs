//! max(d, ε): negative curvature counts as flat.

pub(super) fn rectify(curvature: f64, eps: f64) -> f64 {
    curvature.max(eps)
}
