//! Brighter: the value of hue, saturation and value rises by c.

use super::Picture;
use sph_tensor::Rng;

const RISE: [f64; 5] = [0.05, 0.1, 0.15, 0.2, 0.3];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let channels = picture.size.2;
    for pixel in picture.values.chunks_exact_mut(channels) {
        // With hue and saturation kept, channels keep their ratios to the largest; black becomes grey.
        let value = pixel.iter().copied().fold(0.0, f64::max);
        let brighter = (value + RISE[severity]).min(1.0);
        match value > 0.0 {
            true => pixel.iter_mut().for_each(|v| *v *= brighter / value),
            false => pixel.fill(brighter),
        }
    }
}
