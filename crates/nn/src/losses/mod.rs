//! Losses, one file each.

mod cross_entropy;

pub use cross_entropy::cross_entropy;
pub use sph_autodiff::ops::{Mixed, Targets};
