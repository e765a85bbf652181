//! Rectifiers make signed curvature positive (seed II-C), one file each, and their table. A new one is a file here and a
//! row of [`rectifiers`]. On a dense block they act on its eigenvalues.

mod absolute;
mod clamp;
mod smooth_abs;

pub use absolute::Absolute;
pub use clamp::Clamp;
pub use smooth_abs::SmoothAbs;

use std::fmt::Debug;
use std::sync::Arc;

/// What makes signed curvature positive.
pub trait Rectifier: Debug + Send + Sync {
    /// The name users give.
    fn name(&self) -> &str;

    /// Its formula.
    fn about(&self) -> &str;

    /// A number that is at least `eps`, for `eps` > 0.
    fn rectify(&self, curvature: f64, eps: f64) -> f64;
}

/// All rectifiers.
pub fn rectifiers() -> Vec<Arc<dyn Rectifier>> {
    vec![Arc::new(Absolute), Arc::new(Clamp), Arc::new(SmoothAbs)]
}

/// The rectifier of that name.
pub fn find(name: &str) -> Option<Arc<dyn Rectifier>> {
    rectifiers().into_iter().find(|r| r.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rectifier_is_positive_and_close_to_large_curvature() {
        for r in rectifiers() {
            for d in [-1e3, -1.0, -1e-9, 0.0, 1e-9, 1.0, 1e3] {
                let v = r.rectify(d, 1e-3);
                assert!(v >= 1e-3 && v <= d.abs() + 1e-3 + 1e-12, "{}({d}) = {v}", r.name());
                assert!(d < 1.0 || (v - d).abs() <= 1e-3, "{}({d}) = {v}", r.name());
            }
        }
        // What tells them apart: negative curvature.
        let at = ["absolute", "clamp", "smooth_abs"].map(|name| find(name).unwrap().rectify(-2.0, 0.5));
        assert_eq!(at, [2.5, 0.5, 4.25f64.sqrt()]);
    }
}
