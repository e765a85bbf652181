//! Blur along a line of random direction, from −45° to 45°: half a normal curve, as a moving camera leaves.

use super::Picture;
use super::filter::{Border, bilinear};
use sph_tensor::Rng;

/// Length of the line and deviation of the weights.
const LINE: [(f64, f64); 5] = [(6.0, 1.0), (6.0, 1.5), (6.0, 2.0), (8.0, 2.0), (9.0, 2.5)];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    let scale = picture.scale();
    let (length, sigma) = (LINE[severity].0 * scale, LINE[severity].1 * scale);
    let angle = (rng.uniform() - 0.5) * std::f64::consts::FRAC_PI_2;
    let (dy, dx) = (libm::sin(angle), libm::cos(angle));
    // Four points to the pixel, so that a short line is no step.
    const FINE: f64 = 4.0;
    let points = (length * FINE).ceil() as usize + 1;
    let mut weights: Vec<f64> = (0..points)
        .map(|i| {
            let d = i as f64 / FINE / sigma;
            libm::exp(-0.5 * d * d)
        })
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    let (_, w, c) = picture.size;
    let mut to = vec![0.0; picture.values.len()];
    let mut value = vec![0.0; c];
    for (i, out) in to.chunks_exact_mut(c).enumerate() {
        for (k, weight) in weights.iter().enumerate() {
            let along = k as f64 / FINE;
            bilinear(
                picture,
                (i / w) as f64 + along * dy,
                (i % w) as f64 + along * dx,
                Border::AboutPixel,
                &mut value,
            );
            out.iter_mut().zip(&value).for_each(|(o, v)| *o += weight * v);
        }
    }
    picture.values = to;
}
