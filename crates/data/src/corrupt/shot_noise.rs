//! Photons counted: a Poisson number of mean c·v, over c.

use super::Picture;
use sph_tensor::Rng;

const PHOTONS: [f64; 5] = [500.0, 250.0, 100.0, 75.0, 50.0];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    let photons = PHOTONS[severity];
    picture.map(|v| poisson(photons * v.max(0.0), rng) / photons);
}

/// A Poisson number of this mean: by products of uniform numbers where it is small, else by Hörmann's transformed rejection (PTRS, 1993).
fn poisson(mean: f64, rng: &mut Rng) -> f64 {
    if mean < 10.0 {
        let (end, mut product, mut count) = (libm::exp(-mean), rng.uniform(), 0.0);
        while product > end {
            product *= rng.uniform();
            count += 1.0;
        }
        return count;
    }
    let (root, log_mean) = (libm::sqrt(mean), libm::log(mean));
    let b = 0.931 + 2.53 * root;
    let a = -0.059 + 0.02483 * b;
    let alpha = 1.1239 + 1.1328 / (b - 3.4);
    let accept = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let (u, v) = (rng.uniform() - 0.5, rng.uniform());
        let us = 0.5 - u.abs();
        let k = libm::floor((2.0 * a / us + b) * u + mean + 0.43);
        if us >= 0.07 && v <= accept {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let left = libm::log(v) + libm::log(alpha) - libm::log(a / (us * us) + b);
        if left <= -mean + k * log_mean - libm::lgamma(k + 1.0) {
            return k;
        }
    }
}

#[test]
fn poisson_numbers_have_their_moments() {
    for mean in [0.0, 0.3, 7.0, 12.0, 400.0] {
        let mut rng = Rng::new(5, "poisson", 0, 0);
        let n = 20_000;
        let draws: Vec<f64> = (0..n).map(|_| poisson(mean, &mut rng)).collect();
        let average = draws.iter().sum::<f64>() / n as f64;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / n as f64;
        // Five standard errors; the fourth central moment is mean + 3·mean².
        let (of_mean, of_variance) =
            ((mean / n as f64).sqrt(), ((mean + 2.0 * mean * mean) / n as f64).sqrt());
        assert!((average - mean).abs() <= 5.0 * of_mean, "{mean}: {average}");
        assert!((variance - mean).abs() <= 5.0 * of_variance, "{mean}: {variance}");
    }
}
