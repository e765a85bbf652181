//! Fog: a plasma fractal (diamond-square) laid over, brightness kept.

use super::Picture;
use sph_tensor::Rng;

/// How thick, and by what its roughness falls from one scale to the next.
const FOG: [(f64, f64); 5] = [(0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    let (thick, decay) = FOG[severity];
    let (h, w, c) = picture.size;
    let side = h.max(w).next_power_of_two();
    let fog = plasma(side, decay, rng);
    let white = picture.values.iter().copied().fold(0.0, f64::max);
    for (i, pixel) in picture.values.chunks_exact_mut(c).enumerate() {
        let fog = thick * fog[(i / w) * side + i % w];
        // An image without light becomes fog alone.
        let keep = if white > 0.0 { white / (white + thick) } else { 1.0 / (1.0 + thick) };
        pixel.iter_mut().for_each(|v| *v = (*v + fog) * keep);
    }
}

/// A height map from 0 to 1 that wraps around, `side` a power of two.
fn plasma(side: usize, decay: f64, rng: &mut Rng) -> Vec<f64> {
    let mut map = vec![0.0; side * side];
    let (mut step, mut rough) = (side, 1.0);
    let wrap = |i: usize| i % side;
    while step >= 2 {
        let half = step / 2;
        let mut set = |map: &mut Vec<f64>, y: usize, x: usize, corners: [(usize, usize); 4]| {
            let mean = corners.iter().map(|(y, x)| map[wrap(*y) * side + wrap(*x)]).sum::<f64>() / 4.0;
            map[y * side + x] = mean + rough * (2.0 * rng.uniform() - 1.0);
        };
        // Middles of squares, then middles of their sides.
        for y in (half..side).step_by(step) {
            for x in (half..side).step_by(step) {
                let (up, down, left, right) = (y - half, y + half, x - half, x + half);
                set(&mut map, y, x, [(up, left), (up, right), (down, left), (down, right)]);
            }
        }
        for y in (0..side).step_by(half) {
            let first = if (y / half).is_multiple_of(2) { half } else { 0 };
            for x in (first..side).step_by(step) {
                let (up, left) = (y + side - half, x + side - half);
                set(&mut map, y, x, [(up, x), (y + half, x), (y, left), (y, x + half)]);
            }
        }
        step = half;
        rough /= decay;
    }
    let least = map.iter().copied().fold(f64::INFINITY, f64::min);
    let most = map.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
    map.into_iter().map(|v| (v - least) / most).collect()
}
