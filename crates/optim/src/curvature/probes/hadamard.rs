//! Columns of the Sylvester–Hadamard matrix of order 2^⌈log₂ C⌉, cut to C, one per visit (Bekas, Kokiopoulou and Saad 2007).
//! Column 0 is the seed's e. The columns are orthogonal row by row, so the mean of z⊙Hz over one whole cycle is the diagonal,
//! exactly, when H stands still.

use super::Visit;

pub(crate) fn order(c: usize) -> u64 {
    c.next_power_of_two() as u64
}

pub(crate) fn fill(v: Visit, _k: usize, z: &mut [f64]) {
    let column = v.visit % order(z.len());
    // Entry (i, j) is (−1)^(number of bits that i and j share).
    z.iter_mut()
        .enumerate()
        .for_each(|(i, z)| *z = if (i as u64 & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 });
}
