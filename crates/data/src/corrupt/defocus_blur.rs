//! Blur by a disk with a soft edge, as a lens out of focus does.

use super::Picture;
use super::filter::Kernel;
use sph_tensor::Rng;

/// Radius of the disk, and the deviation of its edge.
const DISK: [(f64, f64); 5] = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let scale = picture.scale();
    let (radius, edge) = (DISK[severity].0 * scale, DISK[severity].1 * scale);
    // The disk smoothed by a normal kernel, sampled finely within each pixel.
    const FINE: usize = 5;
    let weight = |dy: f64, dx: f64| {
        let offset = |i: usize| (i as f64 + 0.5) / FINE as f64 - 0.5;
        let inside = |i: usize| {
            let (y, x) = (dy + offset(i / FINE), dx + offset(i % FINE));
            0.5 * libm::erfc((libm::sqrt(y * y + x * x) - radius) / (edge * std::f64::consts::SQRT_2))
        };
        (0..FINE * FINE).map(inside).sum()
    };
    Kernel::new((radius + 3.0 * edge).ceil() as usize, weight).apply(picture);
}
