//! Random erasing (Zhong, Zheng, Kang, Li and Yang 2020), timm's settings: a rectangle of 2 % to a third of the image, its aspect
//! log-uniform in 0.3 to 1/0.3, filled with noise of the training images' mean and standard deviation.

use super::{Augmentation, Image, rectangle};
use sph_tensor::Rng;

/// Rectangles that do not fit are drawn again, this often.
const ATTEMPTS: usize = 10;

pub(super) fn apply(a: &Augmentation, rng: &mut Rng, image: &mut Image<'_>) {
    if rng.uniform() >= a.erase {
        return;
    }
    let (h, w, c) = image.size;
    for _ in 0..ATTEMPTS {
        let area = (0.02 + (1.0 / 3.0 - 0.02) * rng.uniform()) * (h * w) as f64;
        let aspect = libm::exp(libm::log(0.3) * (2.0 * rng.uniform() - 1.0));
        let side = |length: f64| (libm::round(libm::sqrt(length)) as usize).max(1);
        let (height, width) = (side(area * aspect), side(area / aspect));
        if height >= h || width >= w {
            continue;
        }
        let (top, left) = (rng.below(h - height + 1), rng.below(w - width + 1));
        for p in rectangle(top..top + height, left..left + width, w) {
            for (i, v) in image.pixels[p * c..(p + 1) * c].iter_mut().enumerate() {
                *v = image.normalisation.mean[i] + image.normalisation.std[i] * rng.normal();
            }
        }
        return;
    }
}
