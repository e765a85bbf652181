//! Mixup (Zhang, Cisse, Dauphin and Lopez-Paz 2018): x ← λx + (1−λ)x′, λ from Beta(α, α), drawn image by image.

use super::{Augmentation, Image, beta};
use sph_tensor::Rng;

pub(super) fn apply(a: &Augmentation, rng: &mut Rng, image: &mut Image<'_>, partner: &[f64]) -> f64 {
    let share = 1.0 - beta(rng, a.mixup);
    for (v, p) in image.pixels.iter_mut().zip(partner) {
        *v = (1.0 - share) * *v + share * p;
    }
    share
}
