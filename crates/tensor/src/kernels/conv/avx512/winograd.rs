//! Winograd convolution F(M×M, 3×3): 3×3 windows at stride 1, M×M outputs at a time.
//!
//! Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for a tile d of (M + 2)² inputs (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", arXiv 1509.09308, §4): summed over input channels, ⊙ is one matrix product for each of the (M + 2)² positions
//! of the domain. Its transpose gives the adjoint in the weights, ḡ = Gᵀ[(Bᵀ d B) ⊙ (A ȳ Aᵀ)]G; the adjoint in the data is a
//! convolution with flipped weights.
//!
//! F(2×2) multiplies 2.25 times less than the direct loop and rounds about as well. F(4×4) multiplies 4 times less and rounds
//! about five times worse, so it runs only where the user allows it.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::pack::{Weights, store_columns};
use super::tile::{Pixels, Row, TILE, output_row, weight_tile_of};
use super::{Block, LANES, Padded, blocks, mask, padded_channels, sum_parts};
use crate::kernels::choice::KernelChoice;
use crate::kernels::conv::{Conv, ConvKernels};
use crate::kernels::window::Window;
use crate::parallel::{for_chunks_of_work, for_chunks_with_scratch};
use crate::{Array, Pool, Shape};
use std::arch::x86_64::*;
use std::ops::{Add, Mul, Neg, Sub};

pub(super) static F2: ConvKernels<f32> = ConvKernels {
    name: "avx512 winograd F(2×2, 3×3)",
    allowed_by: KernelChoice::Auto,
    fast_math: false,
    saving: 9.0 / 4.0,
    suits: |conv| suits(conv, 2),
    forward: forward::<Two, 2, 4>,
    backward_data: backward_data::<Two, 2, 4>,
    backward_weight: backward_weight::<Two, 2, 4>,
};

pub(super) static F4: ConvKernels<f32> = ConvKernels {
    name: "avx512 winograd F(4×4, 3×3)",
    allowed_by: KernelChoice::Auto,
    fast_math: true,
    saving: 4.0,
    suits: |conv| suits(conv, 4),
    forward: forward::<Four, 4, 6>,
    backward_data: backward_data::<Four, 4, 6>,
    backward_weight: backward_weight::<Four, 4, 6>,
};

/// Where the saved multiplications are worth the transforms.
fn suits(conv: &Conv, m: usize) -> bool {
    let g = &conv.window;
    // Each tap counts once in M + 2 positions of a tile, so a tile should be filled at least by half.
    let filled = |extent: usize| 2 * extent > extent.next_multiple_of(m);
    (g.kh, g.kw, g.stride, conv.groups) == (3, 3, 1, 1)
        && g.pad <= 2
        && g.c >= LANES
        && conv.out >= LANES
        && filled(g.oh())
        && filled(g.ow())
}

/// Height and width of the window.
const WINDOW: usize = 3;

/// A vector of channels. Its operations compile to single instructions where they are inlined into functions with AVX-512F,
/// and are used nowhere else.
#[derive(Clone, Copy)]
struct V(__m512);

impl Add for V {
    type Output = V;
    #[inline(always)]
    fn add(self, other: V) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_add_ps(self.0, other.0) })
    }
}

impl Sub for V {
    type Output = V;
    #[inline(always)]
    fn sub(self, other: V) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
}

impl Mul<f32> for V {
    type Output = V;
    #[inline(always)]
    fn mul(self, factor: f32) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_mul_ps(self.0, _mm512_set1_ps(factor)) })
    }
}

impl Neg for V {
    type Output = V;
    #[inline(always)]
    fn neg(self) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_sub_ps(_mm512_setzero_ps(), self.0) })
    }
}

impl V {
    // SAFETY: a vector is sixteen floats, for which all bits zero is zero.
    const ZERO: V = V(unsafe { std::mem::zeroed() });

    /// `self·factor + other`, rounded once.
    #[inline(always)]
    fn times_plus(self, factor: f32, other: V) -> V {
        // SAFETY: see `V`.
        V(unsafe { _mm512_fmadd_ps(self.0, _mm512_set1_ps(factor), other.0) })
    }
}

/// The one-dimensional maps of F(M, 3) on vectors of channels, T = M + 2.
trait Maps<const M: usize, const T: usize> {
    /// Bᵀ.
    fn input(d: [V; T]) -> [V; T];
    /// G.
    fn weights(g: [V; 3]) -> [V; T];
    /// Gᵀ.
    fn weights_adjoint(u: [V; T]) -> [V; 3];
    /// Aᵀ.
    fn output(m: [V; T]) -> [V; M];
    /// A.
    fn output_adjoint(y: [V; M]) -> [V; T];
}

struct Two;

impl Maps<2, 4> for Two {
    #[inline(always)]
    fn input([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a - c, b + c, c - b, b - d]
    }
    #[inline(always)]
    fn weights([a, b, c]: [V; 3]) -> [V; 4] {
        let (ac, b) = ((a + c) * 0.5, b * 0.5);
        [a, ac + b, ac - b, c]
    }
    #[inline(always)]
    fn weights_adjoint([a, b, c, d]: [V; 4]) -> [V; 3] {
        let sum = (b + c) * 0.5;
        [a + sum, (b - c) * 0.5, sum + d]
    }
    #[inline(always)]
    fn output([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a + b + c, b - c - d]
    }
    #[inline(always)]
    fn output_adjoint([a, b]: [V; 2]) -> [V; 4] {
        [a, a + b, a - b, -b]
    }
}

struct Four;

impl Maps<4, 6> for Four {
    #[inline(always)]
    fn input([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let (ec4, db4) = (c.times_plus(-4.0, e), b.times_plus(-4.0, d));
        let (ec, db) = (e - c, (d - b) * 2.0);
        [
            a.times_plus(4.0, c.times_plus(-5.0, e)),
            ec4 + db4,
            ec4 - db4,
            ec + db,
            ec - db,
            b.times_plus(4.0, d.times_plus(-5.0, f)),
        ]
    }
    #[inline(always)]
    fn weights([a, b, c]: [V; 3]) -> [V; 6] {
        let (ac, ac4) = ((a + c) * (-1.0 / 6.0), c.times_plus(1.0 / 6.0, a * (1.0 / 24.0)));
        let (b6, b12) = (b * (1.0 / 6.0), b * (1.0 / 12.0));
        [a * 0.25, ac - b6, ac + b6, ac4 + b12, ac4 - b12, c]
    }
    #[inline(always)]
    fn weights_adjoint([a, b, c, d, e, f]: [V; 6]) -> [V; 3] {
        let (bc, de) = ((b + c) * (-1.0 / 6.0), d + e);
        [
            a.times_plus(0.25, de.times_plus(1.0 / 24.0, bc)),
            (c - b).times_plus(1.0 / 6.0, (d - e) * (1.0 / 12.0)),
            de.times_plus(1.0 / 6.0, bc) + f,
        ]
    }
    #[inline(always)]
    fn output([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let (s1, d1, s2, d2) = (b + c, b - c, d + e, d - e);
        [a + s1 + s2, d2.times_plus(2.0, d1), s2.times_plus(4.0, s1), d2.times_plus(8.0, d1) + f]
    }
    #[inline(always)]
    fn output_adjoint([a, b, c, d]: [V; 4]) -> [V; 6] {
        let (even, odd) = (a + c, b + d);
        let (even4, odd8) = (c.times_plus(4.0, a), d.times_plus(8.0, b * 2.0));
        [a, even + odd, even - odd, even4 + odd8, even4 - odd8, d]
    }
}

/// Applies a map of `$a` vectors to `$b` vectors along both axes of a tile: of the columns first, whose vectors
/// `$load(row, column)` gives, then of the rows, whose results go to `$store(row, column, vector)`.
///
/// A macro, for everything must be inlined: a call would pass vectors through memory.
macro_rules! along_both_axes {
    ($map:path, $a:ident, $b:ident, |$i:ident, $j:ident| $load:expr, |$r:ident, $c:ident, $v:ident| $store:expr) => {
        let mut between = [[V::ZERO; $a]; $b];
        for $j in 0..$a {
            let mut column = [V::ZERO; $a];
            for $i in 0..$a {
                column[$i] = $load;
            }
            let column = $map(column);
            for r in 0..$b {
                between[r][$j] = column[r];
            }
        }
        for $r in 0..$b {
            let row = $map(between[$r]);
            for $c in 0..$b {
                let $v = row[$c];
                $store;
            }
        }
    };
}

/// How an array [position][tile][channel] of the domain lies in memory, and which channels of an image it holds.
#[derive(Clone, Copy)]
struct Domain {
    first: usize,
    channels: usize,
    /// Elements from one tile to the next.
    pitch: usize,
    /// Elements from one position to the next.
    stride: usize,
}

/// The tiles of a group of images.
struct Tiles {
    padded: Padded,
    /// Height and width of the outputs.
    result: [usize; 2],
    /// Rows of tiles in an image, tiles in a row.
    grid: [usize; 2],
    /// Rows of tiles taken at a time, over images.
    rows: usize,
    /// Channels of inputs and outputs.
    channels: [usize; 2],
    positions: usize,
}

impl Tiles {
    /// A few images at a time, and of those as many rows of tiles as a second-level cache holds beside the weights.
    fn new(conv: &Conv, m: usize) -> Self {
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
    fn of_groups(conv: &Conv, m: usize, images: usize) -> Self {
        let g = &conv.window;
        let result = [g.oh(), g.ow()];
        let grid = result.map(|r| r.div_ceil(m));
        let padded = Padded::new([g.h, g.w, g.c], [g.pad; 2], grid.map(|tiles| tiles * m + 2), images);
        let positions = (m + 2) * (m + 2);
        Tiles { padded, result, grid, rows: images * grid[0], channels: [g.c, conv.out], positions }
    }

    /// The array of `channels` channels from `first` on. A position has one cache line more than it needs: a tile's positions would
    /// often fall into the same few sets of the cache otherwise.
    fn domain(&self, first: usize, channels: usize) -> Domain {
        let pitch = padded_channels(channels);
        Domain { first, channels, pitch, stride: self.rows * self.grid[1] * pitch + LANES }
    }

    /// The array of all input channels.
    fn inputs(&self) -> Domain {
        self.domain(0, self.channels[0])
    }

    /// The array of all output channels.
    fn outputs(&self) -> Domain {
        self.domain(0, self.channels[1])
    }

    /// The array of a block of output channels.
    fn outputs_of(&self, block: Block) -> Domain {
        self.domain(block.first, block.end() - block.first)
    }

    /// Elements of an array.
    fn size(&self, domain: Domain) -> usize {
        self.positions * domain.stride
    }

    /// Elements of scratch: the padded images and both arrays.
    fn scratch(&self) -> usize {
        self.padded.scratch().next_multiple_of(LANES) + self.size(self.inputs()) + self.size(self.outputs())
    }

    /// Splits [`Self::scratch`].
    fn split<'a>(&self, scratch: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (padded, domain) = scratch.split_at_mut(self.padded.scratch().next_multiple_of(LANES));
        let (input, output) = domain.split_at_mut(self.size(self.inputs()));
        (padded, input, output)
    }

    /// Runs of rows of tiles in `images` images: (first row, rows).
    fn runs(&self, images: usize) -> impl Iterator<Item = (usize, usize)> {
        let (all, step) = (images * self.grid[0], self.rows);
        (0..all).step_by(step).map(move |first| (first, step.min(all - first)))
    }
}

/// Bᵀ d B for `rows` rows of tiles from `first` on, into `domain`.
#[target_feature(enable = "avx512f")]
fn transform_input<W: Maps<M, T>, const M: usize, const T: usize>(
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
fn transform_output<W: Maps<M, T>, const M: usize, const T: usize>(
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
fn transform_output_adjoint<W: Maps<M, T>, const M: usize, const T: usize>(
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

/// Weights as a convolution sees them: its taps may be flipped.
struct Filters<'a> {
    weights: Weights<'a>,
    taps: [usize; WINDOW * WINDOW],
}

/// G g Gᵀ of one block: OIHW → [T²][i][16·V].
#[target_feature(enable = "avx512f")]
fn transform_weights<W: Maps<M, T>, const M: usize, const T: usize>(
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
fn transform_weights_adjoint<W: Maps<M, T>, const M: usize, const T: usize>(
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

fn forward<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let weights = Weights { w, taps: 9, input: conv.window.c, out: conv.out, swapped: false };
    run::<W, M, T>(conv, &Filters { weights, taps: [0, 1, 2, 3, 4, 5, 6, 7, 8] }, x, y, pool);
}

fn backward_data<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    y_bar: &[f32],
    w: &[f32],
    x_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let g = &conv.window;
    // The convolution with flipped weights that maps output adjoints to input adjoints.
    let window = Window { h: g.oh(), w: g.ow(), c: conv.out, pad: 2 - g.pad, ..*g };
    let adjoint = Conv { window, out: g.c, groups: 1 };
    let weights = Weights { w, taps: 9, input: conv.out, out: g.c, swapped: true };
    run::<W, M, T>(&adjoint, &Filters { weights, taps: [8, 7, 6, 5, 4, 3, 2, 1, 0] }, y_bar, x_bar, pool);
}

fn run<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters,
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    assert!(
        x.len() == n * conv.window.image()
            && y.len() == n * conv.window.oh() * conv.window.ow() * out
            && filters.weights.w.len() == WINDOW * WINDOW * input * out
    );
    if by_channels(conv, M) {
        run_by_channels::<W, M, T>(conv, filters, x, y, pool);
    } else {
        run_by_images::<W, M, T>(conv, filters, x, y, pool);
    }
}

/// Where the weights weigh more than the tiles: the work is split by output channels then, and every worker transforms weights and
/// uses them while they are in its cache.
fn by_channels(conv: &Conv, m: usize) -> bool {
    let (g, tiles) = (&conv.window, |extent: usize| extent.div_ceil(m));
    g.n * tiles(g.oh()) * tiles(g.ow()) * (g.c + conv.out) < BY_CHANNELS * g.c * conv.out
}

/// Every group of images reads or writes the weights again when the work is split by images, the tiles once or twice when it is split by
/// channels.
const BY_CHANNELS: usize = 4;

/// y; the work split by images.
fn run_by_images<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters,
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out) = (conv.window.c, conv.out);
    let (work, rows) = (conv.multiply_adds(), T * T * input);
    let mut u = Array::stale(pool, Shape::new(&[rows * padded_channels(out)]));
    for_chunks_of_work(u.make_mut(), rows * 2 * LANES, work, |b, u| {
        let Some(block) = blocks(out).nth(b) else { return };
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights::<W, M, T>(filters, block, u) };
    });
    let (u, tiles) = (u.as_slice(), Tiles::new(conv, M));
    let (image, scratch) = (tiles.result[0] * tiles.result[1] * out, tiles.scratch());
    for_chunks_with_scratch(y, tiles.padded.images * image, work, pool, scratch, |part, y, scratch| {
        let count = y.len() / image;
        let (padded, inputs, outputs) = tiles.split(scratch);
        let x = tiles.padded.fill(x, part * tiles.padded.images, count, padded);
        for run in tiles.runs(count) {
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe {
                transform_input::<W, M, T>(&tiles, x, run, inputs);
                for block in blocks(out) {
                    for (position, u) in u[block.of(rows)].chunks_exact(input * block.width()).enumerate() {
                        products(&tiles, position, run.1, inputs, u, (tiles.outputs(), outputs), block);
                    }
                }
                transform_output::<W, M, T>(&tiles, tiles.outputs(), outputs, run, y);
            }
        }
    });
}

/// y; the work split by blocks of output channels, once all images are transformed.
fn run_by_channels<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters,
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out, work) = (conv.window.c, conv.out, conv.multiply_adds());
    let groups = Groups::new(conv, M);
    let (tiles, inputs) = (&groups.tiles, groups.inputs::<W, M, T>(x, work, pool));
    let inputs = inputs.as_slice();
    // [block][group][position][tile][channel].
    let size_of = |block: Block| groups.count * tiles.size(tiles.outputs_of(block));
    let size = blocks(out).map(size_of).max().unwrap_or(0);
    let mut outputs = Array::stale(pool, Shape::new(&[blocks(out).map(size_of).sum()]));
    let scratch = T * T * input * 2 * LANES;
    for_chunks_with_scratch(outputs.make_mut(), size, work, pool, scratch, |b, outputs, u| {
        let Some(block) = blocks(out).nth(b) else { return };
        let (u, layout) = (&mut u[..T * T * input * block.width()], tiles.outputs_of(block));
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights::<W, M, T>(filters, block, u) };
        let inner = Block { first: 0, ..block };
        for (position, u) in u.chunks_exact(input * block.width()).enumerate() {
            for (group, outputs) in outputs.chunks_exact_mut(tiles.size(layout)).enumerate() {
                let inputs = &inputs[group * tiles.size(tiles.inputs())..];
                // SAFETY: as above.
                unsafe { products(tiles, position, groups.rows(group), inputs, u, (layout, outputs), inner) };
            }
        }
    });
    let (outputs, image) = (outputs.as_slice(), tiles.result[0] * tiles.result[1] * out);
    for_chunks_of_work(y, tiles.padded.images * image, work, |group, y| {
        for (b, block) in blocks(out).enumerate() {
            let layout = tiles.outputs_of(block);
            let outputs = &outputs[b * size + group * tiles.size(layout)..];
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { transform_output::<W, M, T>(tiles, layout, outputs, (0, groups.rows(group)), y) };
        }
    });
}

/// All images, in at most four groups.
struct Groups {
    tiles: Tiles,
    images: usize,
    count: usize,
}

impl Groups {
    fn new(conv: &Conv, m: usize) -> Self {
        let images = conv.window.n;
        let tiles = Tiles::of_groups(conv, m, images.div_ceil(4));
        Groups { count: images.div_ceil(tiles.padded.images), tiles, images }
    }

    /// Bᵀ d B of all images, [group][position][tile][channel].
    fn inputs<W: Maps<M, T>, const M: usize, const T: usize>(
        &self,
        x: &[f32],
        work: usize,
        pool: &Pool<f32>,
    ) -> Array<f32> {
        let (tiles, scratch) = (&self.tiles, self.tiles.padded.scratch());
        let size = tiles.size(tiles.inputs());
        let mut inputs = Array::stale(pool, Shape::new(&[self.count * size]));
        for_chunks_with_scratch(inputs.make_mut(), size, work, pool, scratch, |group, inputs, scratch| {
            let (first, count) = self.group(group);
            let x = tiles.padded.fill(x, first, count, scratch);
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { transform_input::<W, M, T>(tiles, x, (0, self.rows(group)), inputs) };
        });
        inputs
    }

    /// First image of a group, and how many it has.
    fn group(&self, group: usize) -> (usize, usize) {
        let first = group * self.tiles.padded.images;
        (first, self.tiles.padded.images.min(self.images - first))
    }

    /// Rows of tiles of a group.
    fn rows(&self, group: usize) -> usize {
        self.group(group).1 * self.tiles.grid[0]
    }
}

/// One matrix product, tiles × input channels × a block of output channels, for one position of the domain, of which `u` are the
/// weights.
#[target_feature(enable = "avx512f")]
fn products(
    tiles: &Tiles,
    position: usize,
    rows: usize,
    inputs: &[f32],
    u: &[f32],
    (layout, outputs): (Domain, &mut [f32]),
    block: Block,
) {
    let from = tiles.inputs();
    let row = Row {
        x: &inputs[position * from.stride..],
        line: 0,
        pixel: from.pitch,
        lines: 1,
        run: from.channels,
        pixels: rows * tiles.grid[1],
        pitch: layout.pitch,
    };
    output_row(&row, u, &mut outputs[position * layout.stride..], block);
}

fn backward_weight<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input) = (conv.window.n, conv.window.c);
    assert!(
        x.len() == n * conv.window.image()
            && y_bar.len() * WINDOW * WINDOW * input == n * conv.window.oh() * conv.window.ow() * w_bar.len()
    );
    if by_channels(conv, M) {
        weight_sums_by_channels::<W, M, T>(conv, x, y_bar, w_bar, pool);
    } else {
        weight_sums_by_images::<W, M, T>(conv, x, y_bar, w_bar, pool);
    }
}

/// w̄; the work split by images.
fn weight_sums_by_images<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    let tiles = Tiles::new(conv, M);
    let (images, image) = (tiles.padded.images, tiles.result[0] * tiles.result[1] * out);
    let size = T * T * input * padded_channels(out);
    // Partial sums over fixed runs of images, added in order; fewer of them where weights are large.
    let parts = if size > 1 << 19 { 4 } else { 16 }.min(n.div_ceil(images));
    let run = n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let (work, scratch) = (conv.multiply_adds(), tiles.scratch());
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, scratch, |part, sum, scratch| {
        sum.fill(0.0);
        let (padded, inputs, outputs) = tiles.split(scratch);
        let end = ((part + 1) * run).min(n);
        for first in (part * run..end).step_by(images) {
            let count = images.min(end - first);
            let x = tiles.padded.fill(x, first, count, padded);
            let y_bar = &y_bar[first * image..(first + count) * image];
            for rows in tiles.runs(count) {
                // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
                unsafe {
                    transform_input::<W, M, T>(&tiles, x, rows, inputs);
                    transform_output_adjoint::<W, M, T>(&tiles, y_bar, rows, outputs);
                    for block in blocks(out) {
                        let sum = &mut sum[block.of(T * T * input)];
                        weight_products(&tiles, rows.1, inputs, outputs, sum, block);
                    }
                }
            }
        }
    });
    let total = sum_parts(partial.make_mut(), size);
    for_chunks_of_work(w_bar, WINDOW * WINDOW * input * 2 * LANES, work, |b, w_bar| {
        let Some(block) = blocks(out).nth(b) else { return };
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights_adjoint::<W, M, T>(&total[block.of(T * T * input)], block, w_bar) };
    });
}

/// w̄; the work split by blocks of output channels, once all images are transformed.
fn weight_sums_by_channels<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out, work) = (conv.window.c, conv.out, conv.multiply_adds());
    let groups = Groups::new(conv, M);
    let (tiles, inputs) = (&groups.tiles, groups.inputs::<W, M, T>(x, work, pool));
    let image = tiles.result[0] * tiles.result[1] * out;
    let [inputs_size, outputs_size] = [tiles.inputs(), tiles.outputs()].map(|domain| tiles.size(domain));
    let mut outputs = Array::stale(pool, Shape::new(&[groups.count * outputs_size]));
    for_chunks_of_work(outputs.make_mut(), outputs_size, work, |group, m| {
        let (first, count) = groups.group(group);
        let y_bar = &y_bar[first * image..(first + count) * image];
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_output_adjoint::<W, M, T>(tiles, y_bar, (0, groups.rows(group)), m) };
    });
    let (inputs, outputs) = (inputs.as_slice(), outputs.as_slice());
    let (filter, scratch) = (WINDOW * WINDOW * input, T * T * input * 2 * LANES);
    for_chunks_with_scratch(w_bar, filter * 2 * LANES, work, pool, scratch, |b, w_bar, scratch| {
        let Some(block) = blocks(out).nth(b) else { return };
        let sum = &mut scratch[..T * T * input * block.width()];
        sum.fill(0.0);
        for group in 0..groups.count {
            let (inputs, outputs) = (&inputs[group * inputs_size..], &outputs[group * outputs_size..]);
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { weight_products(tiles, groups.rows(group), inputs, outputs, sum, block) };
        }
        // SAFETY: as above.
        unsafe { transform_weights_adjoint::<W, M, T>(sum, block, w_bar) };
    });
}

/// Adds one matrix product, input channels × tiles × a block of output channels, for every position of the domain.
#[target_feature(enable = "avx512f")]
fn weight_products(
    tiles: &Tiles,
    rows: usize,
    inputs: &[f32],
    outputs: &[f32],
    sum: &mut [f32],
    block: Block,
) {
    let (from, to) = (tiles.inputs(), tiles.outputs());
    let count = rows * tiles.grid[1];
    for (position, sum) in sum.chunks_exact_mut(from.channels * block.width()).enumerate() {
        let pixels = Pixels {
            x: &inputs[position * from.stride..],
            y_bar: &outputs[position * to.stride..][..count * to.pitch],
            images: 1,
            rows: 1,
            cols: count,
            image: 0,
            line: 0,
            pixel: from.pitch,
            pitch: to.pitch,
        };
        for (tile, sum) in sum.chunks_mut(TILE * block.width()).enumerate() {
            weight_tile_of(&pixels, tile * TILE, sum, block);
        }
    }
}
