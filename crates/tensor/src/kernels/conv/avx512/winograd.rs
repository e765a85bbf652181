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

use super::tile::{Pixels, Row, TILE, output_row, weight_tile_of};
use super::{Block, LANES, Padded, Weights, blocks, mask, padded_channels, sum_parts, unpack};
use crate::kernels::choice::KernelChoice;
use crate::kernels::conv::{Conv, ConvKernels};
use crate::kernels::window::Window;
use crate::parallel::{for_chunks, for_chunks_of_work, for_chunks_with_scratch};
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

/// The tiles of a group of images, and where they lie in the domain's arrays [position][tile][channel].
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

    /// Elements from one position of the domain to the next, for arrays of `channels`. One cache line more than they need:
    /// a tile's positions would often fall into the same few sets of the cache otherwise.
    fn stride(&self, channels: usize) -> usize {
        self.rows * self.grid[1] * padded_channels(channels) + LANES
    }

    /// Elements of scratch: the padded images and both arrays.
    fn scratch(&self) -> usize {
        self.padded.scratch().next_multiple_of(LANES)
            + self.channels.map(|c| self.positions * self.stride(c)).iter().sum::<usize>()
    }

    /// Splits [`Self::scratch`].
    fn split<'a>(&self, scratch: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (padded, domain) = scratch.split_at_mut(self.padded.scratch().next_multiple_of(LANES));
        let (input, output) = domain.split_at_mut(self.positions * self.stride(self.channels[0]));
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
    let (pitch, stride) = (padded_channels(c), tiles.stride(c));
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

/// Aᵀ m A for `rows` rows of tiles from `first` on, into the outputs.
#[target_feature(enable = "avx512f")]
fn transform_output<W: Maps<M, T>, const M: usize, const T: usize>(
    tiles: &Tiles,
    domain: &[f32],
    (first, rows): (usize, usize),
    y: &mut [f32],
) {
    let ([height, width], out) = (tiles.result, tiles.channels[1]);
    let (pitch, stride) = (padded_channels(out), tiles.stride(out));
    assert!(rows <= tiles.rows && domain.len() >= T * T * stride);
    for r in 0..rows {
        let (n, ty) = ((first + r) / tiles.grid[0], (first + r) % tiles.grid[0]);
        for tx in 0..tiles.grid[1] {
            let from = (r * tiles.grid[1] + tx) * pitch;
            let (lines, cols) = (M.min(height - ty * M), M.min(width - tx * M));
            let to = ((n * height + ty * M) * width + tx * M) * out;
            assert!(to + ((lines - 1) * width + cols) * out <= y.len());
            for channel in (0..out).step_by(LANES) {
                let mask = mask(channel, out);
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
    let (pitch, stride) = (padded_channels(out), tiles.stride(out));
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

/// G g Gᵀ of one block: [9][i][16·V] → [T²][i][16·V].
#[target_feature(enable = "avx512f")]
fn transform_weights<W: Maps<M, T>, const M: usize, const T: usize>(packed: &[f32], domain: &mut [f32]) {
    let size = packed.len() / 9;
    assert!(packed.len() == 9 * size && domain.len() == T * T * size && size.is_multiple_of(LANES));
    for at in (0..size).step_by(LANES) {
        // SAFETY: `at + 16` is at most the size of a tap and of a position.
        unsafe {
            let packed = packed.as_ptr().add(at);
            let domain = domain.as_mut_ptr().add(at);
            along_both_axes!(
                W::weights,
                WINDOW,
                T,
                |i, j| V(_mm512_loadu_ps(packed.add((i * WINDOW + j) * size))),
                |i, j, v| _mm512_storeu_ps(domain.add((i * T + j) * size), v.0)
            );
        }
    }
}

/// Gᵀ u G of one block: [T²][i][16·V] → [9][i][16·V].
#[target_feature(enable = "avx512f")]
fn transform_weights_adjoint<W: Maps<M, T>, const M: usize, const T: usize>(
    domain: &[f32],
    packed: &mut [f32],
) {
    let size = packed.len() / 9;
    assert!(packed.len() == 9 * size && domain.len() == T * T * size && size.is_multiple_of(LANES));
    for at in (0..size).step_by(LANES) {
        // SAFETY: as in `transform_weights`.
        unsafe {
            let domain = domain.as_ptr().add(at);
            let packed = packed.as_mut_ptr().add(at);
            along_both_axes!(
                W::weights_adjoint,
                T,
                WINDOW,
                |i, j| V(_mm512_loadu_ps(domain.add((i * T + j) * size))),
                |i, j, v| _mm512_storeu_ps(packed.add((i * WINDOW + j) * size), v.0)
            );
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
    run::<W, M, T>(conv, &weights, [0, 1, 2, 3, 4, 5, 6, 7, 8], x, y, pool);
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
    run::<W, M, T>(&adjoint, &weights, [8, 7, 6, 5, 4, 3, 2, 1, 0], y_bar, x_bar, pool);
}

fn run<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    weights: &Weights,
    taps: [usize; 9],
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out) = (weights.input, weights.out);
    let size = input * padded_channels(out);
    let mut packed = Array::stale(pool, Shape::new(&[9 * size]));
    weights.pack(&taps, packed.make_mut());
    let mut u = Array::stale(pool, Shape::new(&[T * T * size]));
    for_chunks(u.make_mut(), T * T * input * 2 * LANES, |b, u| {
        let from = b * 9 * input * 2 * LANES;
        let packed = &packed.as_slice()[from..from + u.len() / (T * T) * 9];
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights::<W, M, T>(packed, u) };
    });
    drop(packed);
    let (u, tiles) = (u.as_slice(), Tiles::new(conv, M));
    let image = tiles.result[0] * tiles.result[1] * out;
    assert!(x.len() == conv.window.n * conv.window.image() && y.len() == conv.window.n * image);
    let (work, scratch) = (conv.multiply_adds(), tiles.scratch());
    for_chunks_with_scratch(y, tiles.padded.images * image, work, pool, scratch, |part, y, scratch| {
        let count = y.len() / image;
        let (padded, inputs, outputs) = tiles.split(scratch);
        let x = tiles.padded.fill(x, part * tiles.padded.images, count, padded);
        for rows in tiles.runs(count) {
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe {
                transform_input::<W, M, T>(&tiles, x, rows, inputs);
                for block in blocks(out) {
                    products(&tiles, rows.1, inputs, &u[block.of(T * T * input)], outputs, block);
                }
                transform_output::<W, M, T>(&tiles, outputs, rows, y);
            }
        }
    });
}

/// One matrix product, tiles × input channels × a block of output channels, for every position of the domain.
#[target_feature(enable = "avx512f")]
fn products(tiles: &Tiles, rows: usize, inputs: &[f32], u: &[f32], outputs: &mut [f32], block: Block) {
    let [input, out] = tiles.channels;
    for (position, u) in u.chunks_exact(input * block.width()).enumerate() {
        let row = Row {
            x: &inputs[position * tiles.stride(input)..],
            line: 0,
            pixel: padded_channels(input),
            lines: 1,
            run: input,
            pixels: rows * tiles.grid[1],
            pitch: padded_channels(out),
        };
        output_row(&row, u, &mut outputs[position * tiles.stride(out)..], block);
    }
}

fn backward_weight<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    assert!(
        x.len() == n * conv.window.image()
            && y_bar.len() * WINDOW * WINDOW * input == n * conv.window.oh() * conv.window.ow() * w_bar.len()
    );
    let mut packed = Array::stale(pool, Shape::new(&[WINDOW * WINDOW * input * padded_channels(out)]));
    let tiles = n * conv.window.oh().div_ceil(M) * conv.window.ow().div_ceil(M);
    // Adding partial sums up touches the weights 4 times or more; splitting by output channels, both operands' tiles once.
    if tiles * (input + out) < 4 * input * out {
        weight_sums_by_channels::<W, M, T>(conv, x, y_bar, packed.make_mut(), pool);
    } else {
        weight_sums_by_images::<W, M, T>(conv, x, y_bar, packed.make_mut(), pool);
    }
    unpack(packed.as_slice(), WINDOW * WINDOW, input, out, w_bar);
}

/// w̄, packed; the work split by images.
fn weight_sums_by_images<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    packed: &mut [f32],
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
    let rows = WINDOW * WINDOW * input;
    for_chunks_of_work(packed, rows * 2 * LANES, work, |b, packed| {
        let from = b * T * T * input * 2 * LANES;
        let total = &total[from..from + packed.len() / rows * T * T * input];
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights_adjoint::<W, M, T>(total, packed) };
    });
}

/// w̄, packed; the work split by blocks of output channels, once all images are transformed.
fn weight_sums_by_channels<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    packed: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    let tiles = Tiles::of_groups(conv, M, n.div_ceil(4));
    let (images, image) = (tiles.padded.images, tiles.result[0] * tiles.result[1] * out);
    let (groups, work) = (n.div_ceil(images), conv.multiply_adds());
    let group = |part: usize| (part * images, images.min(n - part * images));
    // [group][position][tile][channel].
    let sizes = tiles.channels.map(|c| T * T * tiles.stride(c));
    let [mut inputs, mut outputs] = sizes.map(|size| Array::stale(pool, Shape::new(&[groups * size])));
    for_chunks_with_scratch(
        inputs.make_mut(),
        sizes[0],
        work,
        pool,
        tiles.padded.scratch(),
        |part, v, scratch| {
            let (first, count) = group(part);
            let x = tiles.padded.fill(x, first, count, scratch);
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { transform_input::<W, M, T>(&tiles, x, (0, count * tiles.grid[0]), v) };
        },
    );
    for_chunks_of_work(outputs.make_mut(), sizes[1], work, |part, m| {
        let (first, count) = group(part);
        let y_bar = &y_bar[first * image..(first + count) * image];
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_output_adjoint::<W, M, T>(&tiles, y_bar, (0, count * tiles.grid[0]), m) };
    });
    let (inputs, outputs) = (inputs.as_slice(), outputs.as_slice());
    let (rows, scratch) = (WINDOW * WINDOW * input, T * T * input * 2 * LANES);
    for_chunks_with_scratch(packed, rows * 2 * LANES, work, pool, scratch, |b, packed, scratch| {
        let Some(block) = blocks(out).nth(b) else { return };
        let sum = &mut scratch[..T * T * input * block.width()];
        sum.fill(0.0);
        for part in 0..groups {
            let (inputs, outputs) = (&inputs[part * sizes[0]..], &outputs[part * sizes[1]..]);
            let rows = group(part).1 * tiles.grid[0];
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { weight_products(&tiles, rows, inputs, outputs, sum, block) };
        }
        // SAFETY: as above.
        unsafe { transform_weights_adjoint::<W, M, T>(sum, packed) };
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
    let [input, out] = tiles.channels;
    let (count, pitch) = (rows * tiles.grid[1], padded_channels(out));
    for (position, sum) in sum.chunks_exact_mut(input * block.width()).enumerate() {
        let pixels = Pixels {
            x: &inputs[position * tiles.stride(input)..],
            y_bar: &outputs[position * tiles.stride(out)..][..count * pitch],
            images: 1,
            rows: 1,
            cols: count,
            image: 0,
            line: 0,
            pixel: padded_channels(input),
            pitch,
        };
        for (tile, sum) in sum.chunks_mut(TILE * block.width()).enumerate() {
            weight_tile_of(&pixels, tile * TILE, sum, block);
        }
    }
}
