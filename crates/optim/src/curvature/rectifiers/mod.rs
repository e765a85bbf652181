//! Rectifiers make signed curvature positive (seed II-C), one file each, and their table. A new one is a file here and a
//! row of [`RECTIFIERS`].

mod absolute;

/// A row of the table of rectifiers.
#[derive(Debug)]
pub struct Rectifier {
    /// The name users give.
    pub name: &'static str,
    /// Its formula.
    pub about: &'static str,
    /// rectify(curvature, ε) > 0.
    pub rectify: fn(curvature: f64, eps: f64) -> f64,
}

/// All rectifiers.
pub const RECTIFIERS: &[Rectifier] =
    &[Rectifier { name: "absolute", about: "|d| + ε, the seed's choice", rectify: absolute::rectify }];
