//! Blended toward its negative: (1 − c)·v + c·(1 − v). Severity 5 is the negative. Not of Hendrycks and Dietterich.

use super::Picture;
use sph_tensor::Rng;

const BLEND: [f64; 5] = [0.15, 0.3, 0.7, 0.85, 1.0];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let c = BLEND[severity];
    picture.map(|v| (1.0 - c) * v + c * (1.0 - v));
}
