//! Binary cross-entropy of logits: L = (1/n) Σ −tᵢ log σ(xᵢ) − (1 − tᵢ) log(1 − σ(xᵢ)).
//!
//! ℓ = max(x, 0) − xt + log(1 + e^(−|x|)), which overflows nowhere;  ℓ′ = σ − t = (1 − t)σ(x) − tσ(−x),  ℓ″ = σ(1 − σ).

use crate::ops::sigmoid::sigma_slope;
use crate::ops::{Case, case, normal};
use crate::rules::{ElementLoss, MeanLossOp};
use sph_tensor::Element;
use std::sync::Arc;

/// Binary cross-entropy of logits; made by [`bce`].
#[derive(Debug)]
pub struct Bce;

/// The mean over all elements of the cross-entropy between σ(x) and t in [0, 1], PyTorch's `BCEWithLogitsLoss`; one target
/// per element of x.
pub fn bce(targets: Arc<[f64]>) -> MeanLossOp<Bce> {
    MeanLossOp::new(targets)
}

impl ElementLoss for Bce {
    const NAME: &'static str = "bce";

    fn at(x: f64, target: f64) -> [f64; 3] {
        let small = Element::exp(-x.abs());
        // σ(x) and σ(−x): 1 − σ(x) would lose digits.
        let (large, rest) = (1.0 / (1.0 + small), small / (1.0 + small));
        let (sigma, other) = if x >= 0.0 { (large, rest) } else { (rest, large) };
        let slope = (1.0 - target) * sigma - target * other;
        [Element::max(x, 0.0) - x * target + Element::ln(1.0 + small), slope, sigma_slope(x)]
    }

    fn refuse(target: f64) -> Option<String> {
        (!(0.0..=1.0).contains(&target)).then(|| format!("target {target} is not in [0, 1]"))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let targets: Vec<f64> = normal(&[12], 1).to_f64().iter().map(|t| 1.0 / (1.0 + t * t)).collect();
    vec![case(bce(targets.into()), vec![normal(&[4, 3], 0)])]
}
