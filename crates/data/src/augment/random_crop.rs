//! A window of the image's own size out of the image padded with zeros on all sides.

use super::{Augmentation, Image};
use sph_tensor::Rng;

pub(super) fn apply(a: &Augmentation, rng: &mut Rng, image: &mut Image<'_>) {
    let (h, w, c) = image.size;
    let mut offset = || rng.below(2 * a.crop_pad + 1) as isize - a.crop_pad as isize;
    let (dy, dx) = (offset(), offset());
    let inside = |v: usize, d: isize, end: usize| v.checked_add_signed(d).filter(|v| *v < end);
    let whole = image.pixels.to_vec();
    for (p, out) in image.pixels.chunks_exact_mut(c).enumerate() {
        match inside(p / w, dy, h).zip(inside(p % w, dx, w)) {
            Some((y, x)) => out.copy_from_slice(&whole[(y * w + x) * c..][..c]),
            None => out.fill(0.0),
        }
    }
}
