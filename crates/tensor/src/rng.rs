//! Random streams, addressed by what they are for.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

/// A ChaCha8 stream whose 256-bit key is `(seed, purpose, a, b)`.
///
/// Because a stream is found by its address and not by what was drawn before, a resumed run needs no saved
/// generator state: the probe of block 3 at visit 7 is the same however the run came there.
///
/// ```
/// use sph_tensor::Rng;
/// let draw = || Rng::new(42, "probe", 3, 7).uniform();
/// assert_eq!(draw(), draw());
/// ```
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream for `purpose`, of at most eight bytes, with indices `a` and `b`.
    ///
    /// # Panics
    /// When `purpose` is longer: two purposes that differ only behind their eighth byte would share a stream.
    pub fn new(seed: u64, purpose: &str, a: u64, b: u64) -> Self {
        assert!(purpose.len() <= 8, "the purpose of a stream, '{purpose}', has more than eight bytes");
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..8 + purpose.len()].copy_from_slice(purpose.as_bytes());
        key[16..24].copy_from_slice(&a.to_le_bytes());
        key[24..].copy_from_slice(&b.to_le_bytes());
        Rng(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in 0..n, without bias.
    pub fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0);
        let n = n as u64;
        // Reject the incomplete last interval.
        let zone = u64::MAX - u64::MAX % n;
        loop {
            let x = self.0.next_u64();
            if x < zone {
                return (x % n) as usize;
            }
        }
    }

    /// −1 or 1, each with probability ½.
    pub fn sign(&mut self) -> f64 {
        if self.0.next_u64() >> 63 == 0 { 1.0 } else { -1.0 }
    }

    /// Standard normal (Box–Muller, on `libm`).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
    }

    /// Shuffles in place (Fisher–Yates).
    pub fn shuffle<E>(&mut self, items: &mut [E]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream is part of the file formats: a change of these numbers breaks resumed runs.
    #[test]
    fn the_stream_is_stable() {
        let mut r = Rng::new(1, "test", 2, 3);
        assert_eq!([r.0.next_u64(), r.0.next_u64()], [14_545_871_107_083_954_658, 3_260_833_230_300_510_459]);
        assert_ne!(Rng::new(1, "test", 3, 3).0.next_u64(), 14_545_871_107_083_954_658);
        // Draws of each kind, made from these two words.
        let fresh = || Rng::new(1, "test", 2, 3);
        let words = [14_545_871_107_083_954_658u64, 3_260_833_230_300_510_459];
        let [u, v] = words.map(|w| (w >> 11) as f64 / 2f64.powi(53));
        let mut r = fresh();
        assert_eq!([r.uniform(), r.uniform()], [u, v]);
        let mut r = fresh();
        assert_eq!([r.below(10), r.below(10)], [8, 9]);
        let mut r = fresh();
        assert_eq!([r.sign(), r.sign()], [-1.0, 1.0]);
        let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos();
        assert!((fresh().normal() - normal).abs() < 1e-15);
        // From the last item down, each with one of those up to it.
        let mut items = [0, 1, 2];
        fresh().shuffle(&mut items);
        let mut want = [0, 1, 2];
        want.swap(2, (words[0] % 3) as usize);
        want.swap(1, (words[1] % 2) as usize);
        assert_eq!(items, want);
    }

    #[test]
    #[should_panic(expected = "'partition', has more than eight bytes")]
    fn a_purpose_that_would_be_cut_is_refused() {
        Rng::new(1, "partition", 0, 0);
    }

    #[test]
    fn normal_has_its_moments() {
        let mut r = Rng::new(7, "normal", 0, 0);
        let n = 20_000;
        let xs: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let mean = xs.iter().sum::<f64>() / n as f64;
        let var = xs.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(mean.abs() < 5.0 / (n as f64).sqrt(), "{mean}");
        assert!((var - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{var}");
    }
}
