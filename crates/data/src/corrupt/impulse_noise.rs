//! Salt and pepper: a share c of the values becomes 0 or 1.

use super::Picture;
use sph_tensor::Rng;

const SHARE: [f64; 5] = [0.01, 0.02, 0.03, 0.05, 0.07];

pub(super) fn apply(picture: &mut Picture, severity: usize, rng: &mut Rng) {
    picture.map(|v| {
        let (hit, salt) = (rng.uniform() < SHARE[severity], rng.uniform() < 0.5);
        match (hit, salt) {
            (false, _) => v,
            (true, salt) => f64::from(u8::from(salt)),
        }
    });
}
