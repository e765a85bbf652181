//! z = 1 (seed eq. 4): z⊙Hz = H·1, the row sums of the block. They are its diagonal only if the block is diagonal.

pub(super) fn entry(_seed: u64, _block: usize, _visit: u64, _entry: usize) -> f64 {
    1.0
}
