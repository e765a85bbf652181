//! Normal noise: v + c·n.

use super::Picture;
use sph_tensor::Rng;

const DEVIATION: [f64; 5] = [0.04, 0.06, 0.08, 0.09, 0.10];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    picture.map(|v| v + DEVIATION[severity] * rng.normal());
}
