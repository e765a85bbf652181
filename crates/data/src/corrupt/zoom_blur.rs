//! The mean of the image and enlarged copies of it, as zooming during exposure leaves.

use super::Picture;
use super::filter::{Border, warp};
use sph_tensor::Rng;

/// The largest zoom, and the step from 1 to it.
const ZOOM: [(f64, f64); 5] = [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let (largest, step) = ZOOM[severity];
    let copies = ((largest - 1.0) / step).round() as usize;
    let middle = |n: usize| (n as f64 - 1.0) / 2.0;
    let (y0, x0) = (middle(picture.size.0), middle(picture.size.1));
    // The image itself counts twice: once more as the copy of zoom 1.
    let mut sum = picture.values.clone();
    for i in 0..copies {
        let zoom = 1.0 + i as f64 * step;
        let mut copy = picture.clone();
        warp(&mut copy, Border::AboutEdge, |y, x| (y0 + (y as f64 - y0) / zoom, x0 + (x as f64 - x0) / zoom));
        sum.iter_mut().zip(&copy.values).for_each(|(s, v)| *s += v);
    }
    picture.values = sum.into_iter().map(|s| s / (copies + 1) as f64).collect();
}
