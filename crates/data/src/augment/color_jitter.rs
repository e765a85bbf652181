//! Brightness, contrast and saturation, in random order, each times a factor that is uniform in 1 ± strength; values stay in 0 to 255.
//! torchvision's definitions, without hue.

use super::{Augmentation, Image};
use sph_tensor::Rng;

pub(super) fn apply(a: &Augmentation, rng: &mut Rng, image: &mut Image<'_>) {
    let c = image.size.2;
    let mut changes = [0, 1, 2];
    rng.shuffle(&mut changes);
    for change in changes {
        let factor = (1.0 + a.color_jitter * (2.0 * rng.uniform() - 1.0)).max(0.0);
        let grey: Vec<f64> = image.pixels.chunks_exact(c).map(grey).collect();
        let mean = grey.iter().sum::<f64>() / grey.len() as f64;
        // Away from black, from the image's mean, from the pixel's grey.
        for (pixel, grey) in image.pixels.chunks_exact_mut(c).zip(grey) {
            let from = [0.0, mean, grey][change];
            pixel.iter_mut().for_each(|v| *v = (from + factor * (*v - from)).clamp(0.0, 255.0));
        }
    }
}

/// The luma of three channels (ITU-R BT.601); the mean of any other number.
fn grey(pixel: &[f64]) -> f64 {
    match pixel {
        [r, g, b] => 0.299 * r + 0.587 * g + 0.114 * b,
        other => other.iter().sum::<f64>() / other.len() as f64,
    }
}
