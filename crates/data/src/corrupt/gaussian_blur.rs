//! Blur by a normal kernel.

use super::Picture;
use super::filter::{Border, gaussian};
use sph_tensor::Rng;

const DEVIATION: [f64; 5] = [0.4, 0.6, 0.7, 0.8, 1.0];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let sigma = DEVIATION[severity] * picture.scale();
    picture.values = gaussian(&picture.values, picture.size, sigma, 4.0, Border::AboutEdge);
}
