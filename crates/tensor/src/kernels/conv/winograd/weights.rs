//! Weights of a block of output channels, from PyTorch's layout into Winograd's domain and back.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::WINDOW;
use super::maps::{Maps, along_both_axes};
use crate::kernels::conv::pack::{Weights, store_columns};
use crate::kernels::isa::{Vector, WIDEST};
use crate::kernels::tile::Block;

/// Weights as a convolution sees them: its taps may be flipped.
pub(super) struct Filters<'a, T> {
    pub weights: Weights<'a, T>,
    pub taps: [usize; WINDOW * WINDOW],
}

/// G g Gᵀ of one block: OIHW → [T²][i][channels].
#[inline(always)]
pub(super) fn transform_weights<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    filters: &Filters<V::Element>,
    block: Block,
    domain: &mut [V::Element],
) {
    let (input, width) = (filters.weights.input, block.width);
    let size = input * width;
    assert!(domain.len() == T * T * size);
    for lane in (0..block.count).step_by(V::LANES) {
        for i in 0..input {
            let g = filters.weights.taps_of::<V>(block.first + lane, i);
            // SAFETY: `i·width + lane + LANES` is at most the size of a position.
            unsafe {
                let domain = domain.as_mut_ptr().add(i * width + lane);
                along_both_axes!(
                    V,
                    W::weights,
                    WINDOW,
                    T,
                    |r, c| g[filters.taps[r * WINDOW + c]],
                    |r, c, v| v.store(domain.add((r * T + c) * size))
                );
            }
        }
    }
}

/// Gᵀ u G of one block: T² arrays [i][channels], `size` elements apart → its filters in OIHW.
#[inline(always)]
pub(super) fn transform_weights_adjoint<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    (domain, size): (&[V::Element], usize),
    block: Block,
    w_bar: &mut [V::Element],
) {
    let (width, filters) = (block.width, block.count);
    let filter = w_bar.len() / filters;
    let input = filter / (WINDOW * WINDOW);
    assert!(domain.len() >= (T * T - 1) * size + input * width && w_bar.len() == filters * filter);
    for lane in (0..filters).step_by(V::LANES) {
        for i in 0..input {
            let mut g = [V::zero(); WIDEST];
            // SAFETY: as in `transform_weights`.
            unsafe {
                let domain = domain.as_ptr().add(i * width + lane);
                along_both_axes!(
                    V,
                    W::weights_adjoint,
                    T,
                    WINDOW,
                    |r, c| V::load(domain.add((r * T + c) * size)),
                    |r, c, v| g[r * WINDOW + c] = v
                );
            }
            let from = lane * filter + i * WINDOW * WINDOW;
            store_columns(&g, w_bar, from, filter, V::LANES.min(filters - lane), WINDOW * WINDOW);
        }
    }
}
