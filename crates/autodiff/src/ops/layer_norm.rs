//! LayerNorm (Ba, Kiros and Hinton 2016): each sample over channels, height and width (images), or each row over its
//! channels (tokens). The rules are those of `rules/group_norm.rs` with one group.

use crate::ops::{Case, case, norm_inputs as inputs};
use crate::rules::{GroupNormOp, Groups};

/// Each sample normalized as a whole or, when `by_row`, each row of channels; inputs x, γ, β.
pub fn layer_norm(by_row: bool, eps: f64) -> GroupNormOp {
    GroupNormOp { name: "layer_norm", groups: Groups::Count(1), centered: true, by_row, eps }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(layer_norm(false, 1e-2), inputs(&[3, 2, 3, 4], true)),
        case(layer_norm(true, 1e-5), inputs(&[2, 5, 4], true)),
    ]
}
