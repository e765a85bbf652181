//! RMSNorm (Zhang and Sennrich 2019): divided by the root mean square, no mean taken off, no shift. The rules are those of
//! `rules/group_norm.rs` without the mean terms.

use crate::ops::{Case, case, norm_inputs as inputs};
use crate::rules::{GroupNormOp, Groups};

/// Each sample as a whole or, when `by_row`, each row of channels; inputs x, γ.
pub fn rms_norm(by_row: bool, eps: f64) -> GroupNormOp {
    GroupNormOp { name: "rms_norm", groups: Groups::Count(1), centered: false, by_row, eps }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(rms_norm(false, 1e-2), inputs(&[3, 2, 3, 4], false)),
        case(rms_norm(true, 1e-5), inputs(&[2, 5, 4], false)),
    ]
}
