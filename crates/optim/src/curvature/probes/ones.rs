//! z = 1 (seed eq. 4): z⊙Hz = H·1, the row sums of the block. They are its diagonal only if the block is diagonal.

use super::{Probe, Visit};

/// The row sums H·1.
#[derive(Debug, Clone, Copy)]
pub struct Ones;

impl Probe for Ones {
    fn name(&self) -> &str {
        "ones"
    }

    fn about(&self) -> &str {
        "H·1, the row sums of the block: the seed, to the letter"
    }

    fn fill(&self, _visit: Visit, _k: usize, z: &mut [f64]) {
        z.fill(1.0);
    }

    fn joint(&self) -> bool {
        true
    }

    fn absolute(&self) -> bool {
        true
    }
}
