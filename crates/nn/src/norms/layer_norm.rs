//! LayerNorm over channels, height and width of a sample, with a scale and shift per channel.

use super::grouped::{EPS, Grouped, TOKEN_EPS};
use crate::{Builder, Model};
use sph_autodiff::ops;

pub(super) fn build(b: &mut Builder, layer: &str, channels: usize) -> Box<dyn Model> {
    Box::new(Grouped::new(b, layer, channels, true, || ops::layer_norm(EPS)))
}

/// Each token over its channels.
pub(super) fn tokens(b: &mut Builder, layer: &str, channels: usize) -> Box<dyn Model> {
    Box::new(Grouped::new(b, layer, channels, true, || ops::layer_norm_rows(TOKEN_EPS)))
}
