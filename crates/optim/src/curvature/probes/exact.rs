//! e_1 … e_C: Σ_k e_k⊙He_k is the diagonal, exact at every visit, for C products.

use super::{Visit, unit};

pub(super) fn fill(_visit: Visit, k: usize, z: &mut [f64]) {
    unit(k, z);
}
