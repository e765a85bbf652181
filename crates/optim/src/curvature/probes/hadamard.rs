//! Columns of the Sylvester–Hadamard matrix of order 2^⌈log₂ C⌉, cut to C, one per visit (Bekas, Kokiopoulou and Saad 2007).
//! Column 0 is the seed's e. The columns are orthogonal row by row, so the mean of z⊙Hz over one whole cycle is the diagonal,
//! exactly, when H stands still.

use super::{Probe, Visit};

/// The diagonal, from the mean over a cycle of visits.
#[derive(Debug, Clone, Copy)]
pub struct Hadamard;

/// Columns of the matrix for `entries`: 2^⌈log₂ C⌉.
pub(crate) fn order(entries: usize) -> u64 {
    entries.next_power_of_two() as u64
}

impl Probe for Hadamard {
    fn name(&self) -> &str {
        "hadamard"
    }

    fn about(&self) -> &str {
        "z⊙Hz for Hadamard columns z: the mean over a cycle of visits is the diagonal"
    }

    fn fill(&self, v: Visit, _k: usize, z: &mut [f64]) {
        let column = v.visit % order(z.len());
        // Entry (i, j) is (−1)^(number of bits that i and j share).
        let entry = |i: usize| if (i as u64 & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        z.iter_mut().enumerate().for_each(|(i, z)| *z = entry(i));
    }

    fn cycle(&self, entries: usize) -> Option<u64> {
        Some(order(entries))
    }
}
