//! LayerNorm (Ba, Kiros and Hinton 2016): each sample over channels, height and width (images), or each row over its
//! channels (tokens). Its rules are in `rules/group_norm.rs`, with one group, and in `rules/row_norm.rs`.

use crate::ops::{Case, case, norm_inputs as inputs};
use crate::rules::{GroupNormOp, Groups, RowNormOp};

/// Each sample normalized as a whole; inputs x, γ, β.
pub fn layer_norm(eps: f64) -> GroupNormOp {
    GroupNormOp { name: "layer_norm", groups: Groups::Count(1), centered: true, eps }
}

/// Each row of channels on its own, PyTorch's `LayerNorm` over the last axis; inputs x, γ, β.
pub fn layer_norm_rows(eps: f64) -> RowNormOp {
    RowNormOp { name: "layer_norm", centered: true, eps }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(layer_norm(1e-2), inputs(&[3, 2, 3, 4], true)),
        case(layer_norm_rows(1e-2), inputs(&[2, 5, 4], true)),
        case(layer_norm_rows(1e-5), inputs(&[3, 35], true)),
    ]
}
