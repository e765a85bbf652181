//! Blurred, pixels swapped with others nearby, blurred again: as seen through frosted glass.

use super::Picture;
use super::filter::{Border, gaussian};
use sph_tensor::Rng;

/// Deviation of the blurs, furthest distance of a swap, passes.
const GLASS: [(f64, f64, usize); 5] =
    [(0.05, 1.0, 1), (0.25, 1.0, 1), (0.4, 1.0, 1), (0.25, 1.0, 2), (0.4, 1.0, 2)];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    let (sigma, distance, passes) = GLASS[severity];
    let (h, w, c) = picture.size;
    let (sigma, reach) = (sigma * picture.scale(), (distance * picture.scale()).round().max(1.0) as usize);
    let blur = |values: &[f64]| gaussian(values, (h, w, c), sigma, 4.0, Border::AboutEdge);
    picture.values = blur(&picture.values);
    for _ in 0..passes {
        for y in (reach..h.saturating_sub(reach)).rev() {
            for x in (reach..w.saturating_sub(reach)).rev() {
                let other_y = y + rng.below(2 * reach + 1) - reach;
                let other_x = x + rng.below(2 * reach + 1) - reach;
                for i in 0..c {
                    picture.values.swap((y * w + x) * c + i, (other_y * w + other_x) * c + i);
                }
            }
        }
    }
    picture.values = blur(&picture.values);
}
