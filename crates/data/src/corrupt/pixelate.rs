//! Made small and large again, by means over areas.

use super::Picture;
use super::filter::area;
use sph_tensor::Rng;

const SIDE: [f64; 5] = [0.95, 0.9, 0.85, 0.75, 0.65];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let (h, w, c) = picture.size;
    let side = |n: usize| ((n as f64 * SIDE[severity]) as usize).max(1);
    let small = (side(h), side(w));
    picture.values = area(&area(&picture.values, picture.size, small), (small.0, small.1, c), (h, w));
}
