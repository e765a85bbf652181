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

mod direct;
mod pack;
mod tile;
mod winograd;

use super::ConvKernels;
use std::arch::x86_64::__mmask16;

/// The kernels of this folder, best first, when the CPU has the instructions.
pub(super) fn kernels() -> Option<[&'static ConvKernels<f32>; 3]> {
    std::is_x86_feature_detected!("avx512f").then_some([&winograd::F4, &winograd::F2, &direct::KERNELS])
}

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

/// Images copied into zero-padded scratch together.
struct Padded {
    /// Height, width and channels of an image.
    from: [usize; 3],
    /// Zeros above and to the left.
    before: [usize; 2],
    /// Height and width with padding on all sides.
    to: [usize; 2],
    images: usize,
}

impl Padded {
    /// Padding in front of images of `from`, and enough behind them for `to` (or more) rows and columns.
    fn new(from: [usize; 3], before: [usize; 2], to: [usize; 2], images: usize) -> Self {
        let to = std::array::from_fn(|a| to[a].max(before[a] + from[a]));
        Padded { from, before, to, images }
    }

    /// How many images to take at a time when one makes `pixels` outputs: small maps several at a time, so that a block of
    /// weights is used for about 256 pixels once it is in cache, within a quarter of a megabyte of scratch and with at least
    /// `parts` groups where there are images enough.
    fn group(n: usize, pixels: usize, image: usize, parts: usize) -> usize {
        let space = (1 << 16) / image.max(1);
        (256 / pixels.max(1)).min(space).min(n.div_ceil(parts)).max(1)
    }

    fn is_copy(&self) -> bool {
        self.to != [self.from[0], self.from[1]]
    }

    fn line(&self) -> usize {
        self.to[1] * self.from[2]
    }

    fn image(&self) -> usize {
        self.to[0] * self.line()
    }

    fn scratch(&self) -> usize {
        if self.is_copy() { self.images * self.image() } else { 0 }
    }

    /// Images `first ..` padded into `scratch`; without padding, the images where they are.
    fn fill<'a>(&self, x: &'a [f32], first: usize, count: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let [h, w, c] = self.from;
        let size = h * w * c;
        let x = &x[first * size..(first + count) * size];
        if !self.is_copy() {
            return x;
        }
        let (line, padded_line) = (w * c, self.line());
        let (above, left) = (self.before[0] * padded_line, self.before[1] * c);
        for (image, out) in x.chunks_exact(size).zip(scratch.chunks_exact_mut(self.image())) {
            out[..above].fill(0.0);
            out[above + h * padded_line..].fill(0.0);
            let rows = out[above..].chunks_exact_mut(padded_line);
            for (row, out) in image.chunks_exact(line).zip(rows) {
                out[..left].fill(0.0);
                out[left..left + line].copy_from_slice(row);
                out[left + line..].fill(0.0);
            }
        }
        &scratch[..count * self.image()]
    }
}

/// Adds `parts` arrays of `size` elements, laid end to end, into the first, in order.
fn sum_parts(partial: &mut [f32], size: usize) -> &mut [f32] {
    let work = partial.len();
    let (total, rest) = partial.split_at_mut(size);
    crate::parallel::for_chunks_of_work(total, 1 << 12, work, |i, total| {
        for part in rest.chunks_exact(size) {
            crate::kernels::map::add_serial(total, &part[i << 12..][..total.len()]);
        }
    });
    total
}
