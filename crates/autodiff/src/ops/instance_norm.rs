//! InstanceNorm (Ulyanov, Vedaldi and Lempitsky 2016), affine, without running statistics: each channel of a sample over height
//! and width. Its rules are in `rules/group_norm.rs`, with a group per channel.

use crate::ops::{Case, case, norm_inputs as inputs};
use crate::rules::{GroupNormOp, Groups};

/// Each channel of each sample; inputs x, γ, β.
pub fn instance_norm(eps: f64) -> GroupNormOp {
    GroupNormOp { name: "instance_norm", groups: Groups::PerChannel, centered: true, eps }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(instance_norm(1e-2), inputs(&[3, 2, 3, 4], true))]
}
