//! z = 1 (seed eq. 4): z⊙Hz = H·1, the row sums of the block. They are its diagonal only if the block is diagonal.

use super::Visit;

pub(super) fn fill(_visit: Visit, _k: usize, z: &mut [f64]) {
    z.fill(1.0);
}
