//! Random signs (Hutchinson 1990; Bekas, Kokiopoulou and Saad 2007), restricted to one block: the mean of z⊙Hz is the block's
//! diagonal, with no noise from other blocks.

use super::{Probe, Visit};
use sph_tensor::Rng;

/// Unbiased estimates of the diagonal.
#[derive(Debug, Clone, Copy)]
pub struct Rademacher;

impl Probe for Rademacher {
    fn name(&self) -> &str {
        "rademacher"
    }

    fn about(&self) -> &str {
        "z⊙Hz for random signs z: unbiased for the diagonal"
    }

    fn fill(&self, v: Visit, _k: usize, z: &mut [f64]) {
        let mut rng = Rng::new(v.seed, "probe", v.block as u64, v.visit);
        z.iter_mut().for_each(|z| *z = rng.sign());
    }

    fn joint(&self) -> bool {
        true
    }
}
