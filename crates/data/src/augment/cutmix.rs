//! CutMix (Yun, Han, Oh, Chun, Choe and Yoo 2019): a rectangle of √(1−λ) of the height and width, λ from Beta(α, α), its centre anywhere,
//! comes from the partner. The label's share is that of the pixels.

use super::{Augmentation, Image, beta, rectangle};
use sph_tensor::Rng;

pub(super) fn apply(a: &Augmentation, rng: &mut Rng, image: &mut Image<'_>, partner: &[f64]) -> f64 {
    let (h, w, c) = image.size;
    let ratio = libm::sqrt(1.0 - beta(rng, a.cutmix));
    let mut side = |n: usize| {
        let (length, centre) = ((n as f64 * ratio) as usize, rng.below(n));
        centre.saturating_sub(length / 2)..(centre + length.div_ceil(2)).min(n)
    };
    let (rows, columns) = (side(h), side(w));
    let share = (rows.len() * columns.len()) as f64 / (h * w) as f64;
    for p in rectangle(rows, columns, w) {
        image.pixels[p * c..(p + 1) * c].copy_from_slice(&partner[p * c..(p + 1) * c]);
    }
    share
}
