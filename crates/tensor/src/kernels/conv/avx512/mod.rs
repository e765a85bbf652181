//! Convolution in f32 with AVX-512: no patches are written out.
//!
//! | file | what |
//! |---|---|
//! | `pack` | weights between PyTorch's layout and the kernels' own |
//! | `tile` | the register tiles that both kinds of kernels are made of |
//! | `direct` | any stride and padding, any window without gaps |
//! | `winograd` | 3×3 at stride 1 with 2.25 or 4 times fewer multiplications |
//!
//! Images are copied into zero-padded scratch, a few at a time. Weights are packed as blocks of 16·V output channels:
//! [block][tap][i][16·V], zero beyond the last channel.
//!
//! Every sum runs in an order given by the shape, in the calling worker alone: the bits do not depend on threads.

// The loads, stores and broadcasts in these files have no safe form: they take pointers. Each function says why its pointers
// are in bounds.
#![allow(unsafe_code)]

use super::padded::{Padded, sum_parts};

mod direct;
mod pack;
mod tile;
mod winograd;

use std::arch::x86_64::__mmask16;

pub(in crate::kernels) use direct::KERNELS as DIRECT;
pub(in crate::kernels) use winograd::{F2, F4};

const LANES: usize = 16;

/// A block of output channels: `vectors` (1 or 2) of 16, of which the last may be partly used.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    vectors: usize,
    masks: [__mmask16; 2],
}

impl Block {
    /// One past the last channel.
    fn end(&self) -> usize {
        self.first + self.masks.iter().map(|m| m.count_ones() as usize).sum::<usize>()
    }

    /// Elements of a packed row.
    fn width(&self) -> usize {
        self.vectors * LANES
    }

    /// The block's part of arrays [block][row][16·V] of `rows` rows a block.
    fn of(&self, rows: usize) -> std::ops::Range<usize> {
        self.first * rows..(self.first + self.width()) * rows
    }
}

/// The lanes of a vector of channels from `first` on that lie below `channels`.
fn mask(first: usize, channels: usize) -> __mmask16 {
    ((1u32 << channels.saturating_sub(first).min(LANES)) - 1) as __mmask16
}

fn blocks(out: usize) -> impl Iterator<Item = Block> + Clone {
    (0..out).step_by(2 * LANES).map(move |first| Block {
        first,
        vectors: (out - first).div_ceil(LANES).min(2),
        masks: [mask(first, out), mask(first + LANES, out)],
    })
}

/// Channels rounded up to whole vectors.
fn padded_channels(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}
