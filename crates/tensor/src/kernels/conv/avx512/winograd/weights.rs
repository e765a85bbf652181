//! Weights of a block of output channels, from PyTorch's layout into Winograd's domain and back.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::WINDOW;
use super::maps::{Maps, V, along_both_axes};
use crate::kernels::conv::avx512::pack::{Weights, store_columns};
use crate::kernels::conv::avx512::{Block, LANES};
use std::arch::x86_64::*;

/// Weights as a convolution sees them: its taps may be flipped.
pub(super) struct Filters<'a> {
    pub weights: Weights<'a>,
    pub taps: [usize; WINDOW * WINDOW],
}

/// G g Gᵀ of one block: OIHW → [T²][i][16·V].
#[target_feature(enable = "avx512f")]
pub(super) fn transform_weights<W: Maps<M, T>, const M: usize, const T: usize>(
    filters: &Filters,
    block: Block,
    domain: &mut [f32],
) {
    let (input, width) = (filters.weights.input, block.width());
    let size = input * width;
    assert!(domain.len() == T * T * size);
    for lane in (0..width).step_by(LANES) {
        for i in 0..input {
            let g = filters.weights.taps_of(block.first + lane, i);
            // SAFETY: `i·width + lane + 16` is at most the size of a position.
            unsafe {
                let domain = domain.as_mut_ptr().add(i * width + lane);
                along_both_axes!(
                    W::weights,
                    WINDOW,
                    T,
                    |r, c| V(g[filters.taps[r * WINDOW + c]]),
                    |r, c, v| _mm512_storeu_ps(domain.add((r * T + c) * size), v.0)
                );
            }
        }
    }
}

/// Gᵀ u G of one block: [T²][i][16·V] → its filters in OIHW.
#[target_feature(enable = "avx512f")]
pub(super) fn transform_weights_adjoint<W: Maps<M, T>, const M: usize, const T: usize>(
    domain: &[f32],
    block: Block,
    w_bar: &mut [f32],
) {
    let (size, width) = (domain.len() / (T * T), block.width());
    let (input, filters) = (size / width, block.end() - block.first);
    let filter = WINDOW * WINDOW * input;
    assert!(domain.len() == T * T * input * width && w_bar.len() == filters * filter);
    for lane in (0..filters).step_by(LANES) {
        for i in 0..input {
            let mut g = [_mm512_setzero_ps(); LANES];
            // SAFETY: as in `transform_weights`.
            unsafe {
                let domain = domain.as_ptr().add(i * width + lane);
                along_both_axes!(
                    W::weights_adjoint,
                    T,
                    WINDOW,
                    |r, c| V(_mm512_loadu_ps(domain.add((r * T + c) * size))),
                    |r, c, v| g[r * WINDOW + c] = v.0
                );
            }
            let from = lane * filter + i * WINDOW * WINDOW;
            store_columns(g, w_bar, from, filter, LANES.min(filters - lane), WINDOW * WINDOW);
        }
    }
}
