//! Multi-head self-attention (Vaswani et al. 2017) of queries, keys and values that lie side by side. Its rules are in `rules/attention.rs`.

use crate::ops::{Case, case, normal};
use crate::rules::AttentionOp;

/// x is [N, T, 3·H·D]: of each token the queries of all `heads`, then the keys, then the values. y is [N, T, H·D]. Products are scaled by 1/√D.
pub fn attention(heads: usize) -> AttentionOp {
    AttentionOp { name: "attention", packed: Some(heads), scale: None, causal: false }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(attention(2), vec![normal(&[2, 5, 3 * 2 * 3], 0)]),
        case(attention(1), vec![normal(&[3, 2, 3 * 4], 1)]),
        case(attention(3), vec![normal(&[1, 18, 3 * 3 * 2], 2)]),
    ]
}
