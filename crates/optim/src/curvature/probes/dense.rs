//! e_1 … e_C: the products He_k are the rows of the whole block.

use super::{Estimate, Probe, Visit, unit};

/// The whole block.
#[derive(Debug, Clone, Copy)]
pub struct Dense;

impl Probe for Dense {
    fn name(&self) -> &str {
        "dense"
    }

    fn about(&self) -> &str {
        "the whole block, its eigenvalues rectified"
    }

    fn count(&self, entries: usize) -> usize {
        entries
    }

    fn fill(&self, _visit: Visit, k: usize, z: &mut [f64]) {
        unit(k, z);
    }

    fn estimate(&self) -> Estimate {
        Estimate::Block
    }
}
