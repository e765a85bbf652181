//! e_1 … e_C: Σ_k e_k⊙He_k is the diagonal, exact at every visit, for C products.

use super::{Probe, Visit, unit};

/// The diagonal, entry by entry.
#[derive(Debug, Clone, Copy)]
pub struct Exact;

impl Probe for Exact {
    fn name(&self) -> &str {
        "exact"
    }

    fn about(&self) -> &str {
        "the diagonal, for as many products as the block has entries"
    }

    fn count(&self, entries: usize) -> usize {
        entries
    }

    fn fill(&self, _visit: Visit, k: usize, z: &mut [f64]) {
        unit(k, z);
    }

    fn absolute(&self) -> bool {
        true
    }
}
