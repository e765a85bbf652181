//! InstanceNorm, affine, without running statistics: each channel of a sample over height and width.

use super::grouped::{EPS, Grouped};
use crate::{Builder, Model};
use sph_autodiff::ops;

pub(super) fn build(b: &mut Builder, layer: &str, channels: usize) -> Box<dyn Model> {
    Box::new(Grouped::new(b, layer, channels, true, || ops::instance_norm(EPS)))
}
