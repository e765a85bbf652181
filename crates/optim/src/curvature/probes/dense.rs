//! e_1 … e_C: the products He_k are the rows of the whole block.

use super::{Visit, unit};

pub(super) fn fill(_visit: Visit, k: usize, z: &mut [f64]) {
    unit(k, z);
}
