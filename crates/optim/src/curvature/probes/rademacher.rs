//! Random signs (Hutchinson 1990; Bekas, Kokiopoulou and Saad 2007), restricted to one block: the mean of z⊙Hz is the block's
//! diagonal, with no noise from other blocks.

use super::Visit;
use sph_tensor::Rng;

pub(super) fn fill(v: Visit, _k: usize, z: &mut [f64]) {
    let mut rng = Rng::new(v.seed, "probe", v.block as u64, v.visit);
    z.iter_mut().for_each(|z| *z = rng.sign());
}
