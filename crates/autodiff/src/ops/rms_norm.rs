//! RMSNorm (Zhang and Sennrich 2019): divided by the root mean square, no mean taken off, no shift. Its rules are in
//! `rules/group_norm.rs` and `rules/row_norm.rs`, without the mean terms.

use crate::ops::{Case, case, norm_inputs as inputs};
use crate::rules::{GroupNormOp, Groups, RowNormOp};

/// Each sample as a whole; inputs x, γ.
pub fn rms_norm(eps: f64) -> GroupNormOp {
    GroupNormOp { name: "rms_norm", groups: Groups::Count(1), centered: false, eps }
}

/// Each row of channels on its own; inputs x, γ.
pub fn rms_norm_rows(eps: f64) -> RowNormOp {
    RowNormOp { name: "rms_norm", centered: false, eps }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(rms_norm(1e-2), inputs(&[3, 2, 3, 4], false)),
        case(rms_norm_rows(1e-2), inputs(&[2, 5, 4], false)),
    ]
}
