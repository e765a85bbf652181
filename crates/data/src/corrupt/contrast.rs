//! Nearer to the mean of the image's channel.

use super::Picture;
use sph_tensor::Rng;

const KEPT: [f64; 5] = [0.75, 0.5, 0.4, 0.3, 0.15];

pub(super) fn apply(picture: &mut Picture, severity: usize, _rng: &mut Rng) {
    let (h, w, c) = picture.size;
    let mut mean = vec![0.0; c];
    picture.values.iter().enumerate().for_each(|(i, v)| mean[i % c] += v / (h * w) as f64);
    picture
        .values
        .iter_mut()
        .enumerate()
        .for_each(|(i, v)| *v = (*v - mean[i % c]) * KEPT[severity] + mean[i % c]);
}
