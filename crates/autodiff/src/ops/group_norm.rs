//! GroupNorm (Wu and He 2018): each sample over height, width and the channels of a group. Its rules are in
//! `rules/group_norm.rs`.

use crate::ops::{Case, case, norm_inputs as inputs};
use crate::rules::{GroupNormOp, Groups};

/// Each sample in `groups` groups of channels; inputs x, γ, β.
pub fn group_norm(groups: usize, eps: f64) -> GroupNormOp {
    GroupNormOp { name: "group_norm", groups: Groups::Count(groups), centered: true, eps }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(group_norm(2, 1e-2), inputs(&[3, 2, 3, 4], true)),
        case(group_norm(3, 1e-5), inputs(&[2, 3, 1, 6], true)),
        // More samples than there are runs of them.
        case(group_norm(2, 1e-2), inputs(&[19, 2, 1, 4], true)),
    ]
}
