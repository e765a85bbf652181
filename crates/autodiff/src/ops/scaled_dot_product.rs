//! Attention of queries, keys and values that are arrays of their own (Vaswani et al. 2017), with masks and grouped heads. Its rules are in
//! `rules/attention.rs`.

use crate::ops::{Case, case, normal};
use crate::rules::AttentionOp;
use sph_tensor::Array;

/// Inputs are queries [N, T, H, D], keys [N, S, G, D], values [N, S, G, E] and perhaps an additive mask that broadcasts to [N, H, T, S] (four
/// axes, extents equal or 1). G divides H: head h reads keys and values h/(H/G). y is [N, T, H, E]. Products are scaled by `scale`, 1/√D as a
/// rule; if `causal`, query i sees the keys j ≤ i alone.
pub fn scaled_dot_product(scale: f64, causal: bool) -> AttentionOp {
    AttentionOp { name: "scaled_dot_product", packed: None, scale: Some(scale), causal }
}

pub(super) fn cases() -> Vec<Case> {
    let qkv = |n: usize, (t, s): (usize, usize), (h, g): (usize, usize), (d, e): (usize, usize)| {
        vec![normal(&[n, t, h, d], 0), normal(&[n, s, g, d], 1), normal(&[n, s, g, e], 2)]
    };
    let masked = |mut x: Vec<Array<f64>>, mask: &[usize]| {
        x.push(normal(mask, 3));
        x
    };
    // A mask that closes some keys to all, and all keys to query 1.
    let mut closed = normal(&[1, 1, 3, 4], 4);
    let infinite = |(i, m): (usize, &mut f64)| {
        if i % 4 == 2 || i / 4 == 1 {
            *m = f64::NEG_INFINITY
        }
    };
    closed.make_mut().iter_mut().enumerate().for_each(infinite);
    let mut with_closed = qkv(2, (3, 4), (2, 2), (2, 3));
    with_closed.push(closed);
    vec![
        case(scaled_dot_product(0.6, false), qkv(2, (3, 4), (2, 2), (3, 2))),
        case(scaled_dot_product(0.5, true), qkv(1, (4, 3), (4, 2), (2, 3))),
        case(scaled_dot_product(0.7, false), masked(qkv(2, (3, 4), (2, 1), (3, 2)), &[1, 2, 3, 4])),
        case(scaled_dot_product(0.7, true), masked(qkv(2, (3, 3), (2, 2), (2, 2)), &[2, 1, 1, 3])),
        case(scaled_dot_product(0.4, false), masked(qkv(2, (3, 4), (2, 2), (2, 2)), &[1, 2, 1, 4])),
        case(scaled_dot_product(0.6, false), with_closed),
    ]
}
