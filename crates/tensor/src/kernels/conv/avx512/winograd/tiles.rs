//! Tiles of images: how they lie in Winograd's domain, and the way there and back.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::maps::{Maps, V, along_both_axes};
use crate::kernels::conv::Conv;
use crate::kernels::conv::avx512::{Block, LANES, Padded, mask, padded_channels};
use std::arch::x86_64::*;

/// How an array [position][tile][channel] of the domain lies in memory, and which channels of an image it holds.
#[derive(Clone, Copy)]
pub(super) struct Domain {
    pub first: usize,
    pub channels: usize,
    /// Elements from one tile to the next.
    pub pitch: usize,
    /// Elements from one position to the next.
    pub stride: usize,
}

/// The tiles of a group of images.
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
    pub positions: usize,
}

impl Tiles {
    /// A few images at a time, and of those as many rows of tiles as a second-level cache holds beside the weights.
    pub(super) fn new(conv: &Conv, m: usize) -> Self {
        /// Elements of the domain's arrays: a quarter of a megabyte.
        const DOMAIN: usize = 1 << 16;
        /// Below this many tiles, loading weights costs more than multiplying by them.
        const TILES: usize = 16;
        let g = &conv.window;
        let image = (g.h + 2) * (g.w + 2) * g.c;
        let tiles = Self::of_groups(conv, m, Padded::group(g.n, g.oh() * g.ow(), image, 8));
        let per_row = tiles.grid[1] * tiles.positions * (padded_channels(g.c) + padded_channels(conv.out));
        let rows = (DOMAIN / per_row).max(TILES.div_ceil(tiles.grid[1])).min(tiles.rows);
        Tiles { rows, ..tiles }
    }

    /// All rows of tiles of `images` images at a time.
    pub(super) fn of_groups(conv: &Conv, m: usize, images: usize) -> Self {
        let g = &conv.window;
        let result = [g.oh(), g.ow()];
        let grid = result.map(|r| r.div_ceil(m));
        let padded = Padded::new([g.h, g.w, g.c], g.pad, grid.map(|tiles| tiles * m + 2), images);
        let positions = (m + 2) * (m + 2);
        Tiles { padded, result, grid, rows: images * grid[0], channels: [g.c, conv.out], positions }
    }

    /// The array of `channels` channels from `first` on. A position has one cache line more than it needs: a tile's positions would
    /// often fall into the same few sets of the cache otherwise.
    pub(super) fn domain(&self, first: usize, channels: usize) -> Domain {
        let pitch = padded_channels(channels);
        Domain { first, channels, pitch, stride: self.rows * self.grid[1] * pitch + LANES }
    }

    /// The array of all input channels.
    pub(super) fn inputs(&self) -> Domain {
        self.domain(0, self.channels[0])
    }

    /// The array of all output channels.
    pub(super) fn outputs(&self) -> Domain {
        self.domain(0, self.channels[1])
    }

    /// The array of a block of output channels.
    pub(super) fn outputs_of(&self, block: Block) -> Domain {
        self.domain(block.first, block.end() - block.first)
    }

    /// Elements of an array.
    pub(super) fn size(&self, domain: Domain) -> usize {
        self.positions * domain.stride
    }

    /// Elements of scratch: the padded images and both arrays.
    pub(super) fn scratch(&self) -> usize {
        self.padded.scratch().next_multiple_of(LANES) + self.size(self.inputs()) + self.size(self.outputs())
    }

    /// Splits [`Self::scratch`].
    pub(super) fn split<'a>(&self, scratch: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (padded, domain) = scratch.split_at_mut(self.padded.scratch().next_multiple_of(LANES));
        let (input, output) = domain.split_at_mut(self.size(self.inputs()));
        (padded, input, output)
    }

    /// Runs of rows of tiles in `images` images: (first row, rows).
    pub(super) fn runs(&self, images: usize) -> impl Iterator<Item = (usize, usize)> {
        let (all, step) = (images * self.grid[0], self.rows);
        (0..all).step_by(step).map(move |first| (first, step.min(all - first)))
    }
}

/// Bᵀ d B for `rows` rows of tiles from `first` on, into `domain`.
#[target_feature(enable = "avx512f")]
pub(super) fn transform_input<W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    x: &[f32],
    (first, rows): (usize, usize),
    domain: &mut [f32],
) {
    let (c, line, image) = (tiles.channels[0], tiles.padded.line(), tiles.padded.image());
    let Domain { pitch, stride, .. } = tiles.inputs();
    assert!(rows <= tiles.rows && domain.len() >= T * T * stride);
    for r in 0..rows {
        let (n, ty) = ((first + r) / tiles.grid[0], (first + r) % tiles.grid[0]);
        for tx in 0..tiles.grid[1] {
            let from = n * image + ty * M * line + tx * M * c;
            let to = (r * tiles.grid[1] + tx) * pitch;
            assert!(from + (T - 1) * (line + c) + c <= x.len());
            for channel in (0..c).step_by(LANES) {
                let mask = mask(channel, c);
                // SAFETY: the last pixel of the tile was checked, and the mask stops at its last channel; `to + channel` is
                // below the stride of the domain's positions, which are T² and fit.
                unsafe {
                    let x = x.as_ptr().add(from + channel);
                    let domain = domain.as_mut_ptr().add(to + channel);
                    along_both_axes!(
                        W::input,
                        T,
                        T,
                        |i, j| V(_mm512_maskz_loadu_ps(mask, x.add(i * line + j * c))),
                        |i, j, v| _mm512_storeu_ps(domain.add((i * T + j) * stride), v.0)
                    );
                }
            }
        }
    }
}

/// Aᵀ m A for `rows` rows of tiles from `first` on, into the outputs that `layout` names.
#[target_feature(enable = "avx512f")]
pub(super) fn transform_output<W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    layout: Domain,
    domain: &[f32],
    (first, rows): (usize, usize),
    y: &mut [f32],
) {
    let ([height, width], out) = (tiles.result, tiles.channels[1]);
    let Domain { first: channel0, channels, pitch, stride } = layout;
    assert!(rows <= tiles.rows && domain.len() >= T * T * stride);
    for r in 0..rows {
        let (n, ty) = ((first + r) / tiles.grid[0], (first + r) % tiles.grid[0]);
        for tx in 0..tiles.grid[1] {
            let from = (r * tiles.grid[1] + tx) * pitch;
            let (lines, cols) = (M.min(height - ty * M), M.min(width - tx * M));
            let to = ((n * height + ty * M) * width + tx * M) * out + channel0;
            assert!(to + ((lines - 1) * width + cols - 1) * out + channels <= y.len());
            for channel in (0..channels).step_by(LANES) {
                let mask = mask(channel, channels);
                // SAFETY: `from + channel` is below the stride of the domain's positions, which are T² and fit; the last pixel
                // stored was checked, and the mask stops at its last channel.
                unsafe {
                    let domain = domain.as_ptr().add(from + channel);
                    let y = y.as_mut_ptr().add(to + channel);
                    along_both_axes!(
                        W::output,
                        T,
                        M,
                        |i, j| V(_mm512_loadu_ps(domain.add((i * T + j) * stride))),
                        |i, j, v| if i < lines && j < cols {
                            _mm512_mask_storeu_ps(y.add((i * width + j) * out), mask, v.0)
                        }
                    );
                }
            }
        }
    }
}

/// A ȳ Aᵀ for `rows` rows of tiles from `first` on, into `domain`.
#[target_feature(enable = "avx512f")]
pub(super) fn transform_output_adjoint<W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    y_bar: &[f32],
    (first, rows): (usize, usize),
    domain: &mut [f32],
) {
    let ([height, width], out) = (tiles.result, tiles.channels[1]);
    let Domain { pitch, stride, .. } = tiles.outputs();
    assert!(rows <= tiles.rows && domain.len() >= T * T * stride);
    for r in 0..rows {
        let (n, ty) = ((first + r) / tiles.grid[0], (first + r) % tiles.grid[0]);
        for tx in 0..tiles.grid[1] {
            let to = (r * tiles.grid[1] + tx) * pitch;
            let (lines, cols) = (M.min(height - ty * M), M.min(width - tx * M));
            let from = ((n * height + ty * M) * width + tx * M) * out;
            assert!(from + ((lines - 1) * width + cols) * out <= y_bar.len());
            for channel in (0..out).step_by(LANES) {
                let inside = mask(channel, out);
                // SAFETY: as in `transform_output`, with loads and stores exchanged; pixels outside the image are masked out,
                // and masked loads do not touch memory.
                unsafe {
                    let y_bar = y_bar.as_ptr().add(from + channel);
                    let domain = domain.as_mut_ptr().add(to + channel);
                    along_both_axes!(
                        W::output_adjoint,
                        M,
                        T,
                        |i, j| {
                            let mask = if i < lines && j < cols { inside } else { 0 };
                            V(_mm512_maskz_loadu_ps(mask, y_bar.wrapping_add((i * width + j) * out)))
                        },
                        |i, j, v| _mm512_storeu_ps(domain.add((i * T + j) * stride), v.0)
                    );
                }
            }
        }
    }
}
