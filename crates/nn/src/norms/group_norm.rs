//! GroupNorm with as many groups as the largest divisor of C that is at most max(1, min(32, C/4)).

use super::grouped::{EPS, Grouped};
use crate::{Builder, Model};
use sph_autodiff::ops;

pub(super) fn build(b: &mut Builder, layer: &str, channels: usize) -> Box<dyn Model> {
    let most = (channels / 4).clamp(1, 32);
    let groups = (1..=most).rev().find(|g| channels.is_multiple_of(*g)).unwrap_or(1);
    Box::new(Grouped::new(b, layer, channels, true, move || ops::group_norm(groups, EPS)))
}
