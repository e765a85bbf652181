//! Tiles of images: how they lie in Winograd's domain, and the way there and back.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::maps::{Maps, along_both_axes};
use crate::kernels::conv::Conv;
use crate::kernels::conv::padded::Padded;
use crate::kernels::isa::Vector;
use crate::kernels::tile::{Block, blocks, padded};

/// Elements between the arrays of two positions beyond what they need: a cache line, for a tile's positions would often fall into the same few
/// sets of the cache otherwise.
const GAP: usize = 16;

/// The tiles of a group of images. Inputs lie as [position][tile][channel], channels rounded up to whole vectors; outputs as
/// [position][block][tile][channel of the block].
pub(super) struct Tiles {
    pub padded: Padded,
    /// Height and width of the outputs.
    pub result: [usize; 2],
    /// Rows of tiles in an image, tiles in a row.
    pub grid: [usize; 2],
    /// Rows of tiles taken at a time, over images.
    pub rows: usize,
    /// Channels of inputs and outputs.
    pub channels: [usize; 2],
    /// Both, rounded up to whole vectors.
    pub pitch: [usize; 2],
    pub positions: usize,
}

impl Tiles {
    /// A few images at a time, and of those as many rows of tiles as a second-level cache holds beside the weights.
    pub(super) fn new<V: Vector>(conv: &Conv, m: usize) -> Self {
        /// Elements of the domain's arrays: a quarter of a megabyte.
        const DOMAIN: usize = 1 << 16;
        /// Below this many tiles, loading weights costs more than multiplying by them.
        const TILES: usize = 16;
        let g = &conv.window;
        let image = (g.h + 2) * (g.w + 2) * g.c;
        let tiles = Self::of_groups::<V>(conv, m, Padded::group(g.n, g.oh() * g.ow(), image, 8));
        let per_row = tiles.grid[1] * tiles.positions * (tiles.pitch[0] + tiles.pitch[1]);
        let rows = (DOMAIN / per_row).max(TILES.div_ceil(tiles.grid[1])).min(tiles.rows);
        Tiles { rows, ..tiles }
    }

    /// All rows of tiles of `images` images at a time.
    pub(super) fn of_groups<V: Vector>(conv: &Conv, m: usize, images: usize) -> Self {
        let g = &conv.window;
        let result = [g.oh(), g.ow()];
        let grid = result.map(|r| r.div_ceil(m));
        let to = grid.map(|tiles| tiles * m + 2);
        Tiles {
            padded: Padded::new([g.h, g.w, g.c], g.pad, to, images),
            result,
            grid,
            rows: images * grid[0],
            channels: [g.c, conv.out],
            pitch: [padded::<V>(g.c), padded::<V>(conv.out)],
            positions: (m + 2) * (m + 2),
        }
    }

    /// Groups of a few images, and how many of them to transform before their products are summed up.
    pub(super) fn at_once<V: Vector>(conv: &Conv, m: usize) -> (Self, usize) {
        /// Elements of the domain's arrays of all groups: sixteen megabytes, which a third-level cache may hold.
        const DOMAIN: usize = 1 << 22;
        /// Tiles of a group: sums are read and written once for each.
        const TILES: usize = 256;
        let n = conv.window.n;
        let of = |images: usize| Self::of_groups::<V>(conv, m, images);
        let one = of(1);
        let images = TILES.div_ceil(one.grid[0] * one.grid[1]).min(n.div_ceil(4)).max(1);
        let tiles = of(images);
        let size = tiles.size(tiles.pitch[0]) + tiles.size(tiles.pitch[1]);
        let groups = (DOMAIN / size).clamp(1, n.div_ceil(images));
        (tiles, groups)
    }

    /// Tiles taken at a time at most.
    pub(super) fn most(&self) -> usize {
        self.rows * self.grid[1]
    }

    /// Elements from one position to the next in an array of `channels` channels, whole vectors of them.
    pub(super) fn stride(&self, channels: usize) -> usize {
        self.most() * channels + GAP
    }

    /// Elements of such an array.
    pub(super) fn size(&self, channels: usize) -> usize {
        self.positions * self.stride(channels)
    }

    fn copies(&self) -> usize {
        self.padded.scratch().next_multiple_of(16)
    }

    /// Elements of scratch: the padded images and both arrays.
    pub(super) fn scratch(&self) -> usize {
        self.copies() + self.size(self.pitch[0]) + self.size(self.pitch[1])
    }

    /// Splits [`Self::scratch`].
    pub(super) fn split<'a, T>(&self, scratch: &'a mut [T]) -> (&'a mut [T], &'a mut [T], &'a mut [T]) {
        let (padded, domain) = scratch.split_at_mut(self.copies());
        let (input, output) = domain.split_at_mut(self.size(self.pitch[0]));
        (padded, input, output)
    }

    /// Runs of rows of tiles in `images` images: (first row, rows).
    pub(super) fn runs(&self, images: usize) -> impl Iterator<Item = (usize, usize)> {
        let (all, step) = (images * self.grid[0], self.rows);
        (0..all).step_by(step).map(move |first| (first, step.min(all - first)))
    }

    /// Image and row of tiles of a row over images.
    #[inline(always)]
    fn row(&self, row: usize) -> (usize, usize) {
        (row / self.grid[0], row % self.grid[0])
    }
}

/// Bᵀ d B for `rows` rows of tiles from `first` on, into `domain`.
#[inline(always)]
pub(super) fn transform_input<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    x: &[V::Element],
    (first, rows): (usize, usize),
    domain: &mut [V::Element],
) {
    let (c, line, image) = (tiles.channels[0], tiles.padded.line(), tiles.padded.image());
    let (pitch, stride) = (tiles.pitch[0], tiles.stride(tiles.pitch[0]));
    assert!(rows <= tiles.rows && domain.len() >= T * T * stride);
    for r in 0..rows {
        let (n, ty) = tiles.row(first + r);
        for tx in 0..tiles.grid[1] {
            let from = n * image + ty * M * line + tx * M * c;
            let to = (r * tiles.grid[1] + tx) * pitch;
            assert!(from + (T - 1) * (line + c) + c <= x.len());
            for channel in (0..c).step_by(V::LANES) {
                let count = V::LANES.min(c - channel);
                // SAFETY: the last pixel of the tile was checked, and no channel behind its last is read; `to + channel` is below the
                // stride of the domain's positions, which are T² and fit.
                unsafe {
                    let x = x.as_ptr().add(from + channel);
                    let domain = domain.as_mut_ptr().add(to + channel);
                    if count == V::LANES {
                        along_both_axes!(
                            V,
                            W::input,
                            T,
                            T,
                            |i, j| V::load(x.add(i * line + j * c)),
                            |i, j, v| v.store(domain.add((i * T + j) * stride))
                        );
                    } else {
                        along_both_axes!(
                            V,
                            W::input,
                            T,
                            T,
                            |i, j| V::load_first(x.add(i * line + j * c), count),
                            |i, j, v| v.store(domain.add((i * T + j) * stride))
                        );
                    }
                }
            }
        }
    }
}

/// A block of Aᵀ m A for `rows` rows of tiles from `first` on, into `y`. `position` has `block`'s tiles of all positions, `stride` elements
/// apart.
#[inline(always)]
pub(super) fn transform_output<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    block: Block,
    (domain, stride): (&[V::Element], usize),
    (first, rows): (usize, usize),
    y: &mut [V::Element],
) {
    let ([height, width], out) = (tiles.result, tiles.channels[1]);
    assert!(domain.len() >= (T * T - 1) * stride + rows * tiles.grid[1] * block.width);
    for r in 0..rows {
        let (n, ty) = tiles.row(first + r);
        for tx in 0..tiles.grid[1] {
            let from = (r * tiles.grid[1] + tx) * block.width;
            let (lines, cols) = (M.min(height - ty * M), M.min(width - tx * M));
            let to = ((n * height + ty * M) * width + tx * M) * out + block.first;
            assert!(to + ((lines - 1) * width + cols - 1) * out + block.count <= y.len());
            for channel in (0..block.count).step_by(V::LANES) {
                let count = V::LANES.min(block.count - channel);
                // SAFETY: the last tile of the last position was checked; so was the last pixel stored, of which no channel behind the
                // block's last is touched.
                unsafe {
                    let domain = domain.as_ptr().add(from + channel);
                    let y = y.as_mut_ptr().add(to + channel);
                    along_both_axes!(
                        V,
                        W::output,
                        T,
                        M,
                        |i, j| V::load(domain.add((i * T + j) * stride)),
                        |i, j, v| if i < lines && j < cols {
                            v.store_first(y.add((i * width + j) * out), count)
                        }
                    );
                }
            }
        }
    }
}

/// A ȳ Aᵀ for `rows` rows of tiles from `first` on, into `domain`.
#[inline(always)]
pub(super) fn transform_output_adjoint<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    y_bar: &[V::Element],
    (first, rows): (usize, usize),
    domain: &mut [V::Element],
) {
    let ([height, width], out) = (tiles.result, tiles.channels[1]);
    let (most, stride) = (tiles.most(), tiles.stride(tiles.pitch[1]));
    assert!(rows <= tiles.rows && domain.len() >= T * T * stride);
    for r in 0..rows {
        let (n, ty) = tiles.row(first + r);
        for tx in 0..tiles.grid[1] {
            let tile = r * tiles.grid[1] + tx;
            let (lines, cols) = (M.min(height - ty * M), M.min(width - tx * M));
            let from = ((n * height + ty * M) * width + tx * M) * out;
            assert!(from + ((lines - 1) * width + cols) * out <= y_bar.len());
            for block in blocks::<V>(out) {
                for channel in (0..block.count).step_by(V::LANES) {
                    let count = V::LANES.min(block.count - channel);
                    // SAFETY: as in `transform_output`, with loads and stores exchanged; pixels outside the image are not read.
                    unsafe {
                        let y_bar = y_bar.as_ptr().add(from + block.first + channel);
                        let to = block.first * most + tile * block.width + channel;
                        let domain = domain.as_mut_ptr().add(to);
                        along_both_axes!(
                            V,
                            W::output_adjoint,
                            M,
                            T,
                            |i, j| match i < lines && j < cols {
                                true => V::load_first(y_bar.wrapping_add((i * width + j) * out), count),
                                false => V::zero(),
                            },
                            |i, j, v| v.store(domain.add((i * T + j) * stride))
                        );
                    }
                }
            }
        }
    }
}
