//! The mirror image, left and right exchanged.

use super::{Augmentation, Image};
use sph_tensor::Rng;

pub(super) fn apply(a: &Augmentation, rng: &mut Rng, image: &mut Image<'_>) {
    if rng.uniform() >= a.hflip {
        return;
    }
    let (_, w, c) = image.size;
    for row in image.pixels.chunks_exact_mut(w * c) {
        for x in 0..w / 2 {
            (0..c).for_each(|i| row.swap(x * c + i, (w - 1 - x) * c + i));
        }
    }
}
