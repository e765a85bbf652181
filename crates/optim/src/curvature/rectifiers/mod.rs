//! Rectifiers make signed curvature positive (seed II-C), one file each, and their table. A new one is a file here and a
//! row of [`RECTIFIERS`]. On a dense block they act on its eigenvalues.

mod absolute;
mod clamp;
mod smooth_abs;

/// A row of the table of rectifiers.
#[derive(Debug)]
pub struct Rectifier {
    /// The name users give.
    pub name: &'static str,
    /// Its formula.
    pub about: &'static str,
    /// rectify(curvature, ε) ≥ ε > 0.
    pub rectify: fn(curvature: f64, eps: f64) -> f64,
}

/// All rectifiers.
pub const RECTIFIERS: &[Rectifier] = &[
    Rectifier { name: "absolute", about: "|d| + ε, the seed's choice", rectify: absolute::rectify },
    Rectifier { name: "clamp", about: "max(d, ε)", rectify: clamp::rectify },
    Rectifier { name: "smooth_abs", about: "√(d² + ε²)", rectify: smooth_abs::rectify },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rectifier_is_positive_and_close_to_large_curvature() {
        for r in RECTIFIERS {
            for d in [-1e3, -1.0, -1e-9, 0.0, 1e-9, 1.0, 1e3] {
                let v = (r.rectify)(d, 1e-3);
                assert!(v >= 1e-3 && v <= d.abs() + 1e-3 + 1e-12, "{}({d}) = {v}", r.name);
                assert!(d < 1.0 || (v - d).abs() <= 1e-3, "{}({d}) = {v}", r.name);
            }
        }
        // What tells them apart: negative curvature.
        let at = RECTIFIERS.iter().map(|r| (r.name, (r.rectify)(-2.0, 0.5))).collect::<Vec<_>>();
        assert_eq!(at, [("absolute", 2.5), ("clamp", 0.5), ("smooth_abs", 4.25f64.sqrt())]);
    }
}
