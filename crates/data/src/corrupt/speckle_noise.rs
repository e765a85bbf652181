//! Normal noise in proportion to the value: v + v·c·n.

use super::Picture;
use sph_tensor::Rng;

const DEVIATION: [f64; 5] = [0.06, 0.1, 0.12, 0.16, 0.2];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    picture.map(|v| v + v * DEVIATION[severity] * rng.normal());
}
