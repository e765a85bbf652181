//! Direct convolution in f32 with AVX-512: no patches are written out.
//!
//! A group of images is copied into zero-padded scratch. A register tile then holds `P` neighbouring output pixels × `V`
//! vectors of 16 output channels and runs over all taps and input channels: one broadcast of an input value feeds `V`
//! multiply-adds, one load of a weight vector feeds `P`. In a row of the window, taps and channels are contiguous in both
//! operands, so the inner loop has length kw·c. The adjoint in the weights holds `P` input values × `V` vectors of output
//! channels and runs over pixels.
//!
//! Weights are packed as blocks of 16·V output channels: [block][ky][kx][i][16·V], zero beyond the last channel.
//!
//! Every sum runs in an order given by the shape, in the calling worker alone: the bits do not depend on threads.

// The loads, stores and broadcasts below have no safe form: they take pointers. Each function says why its pointers are
// in bounds.
#![allow(unsafe_code)]
// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::{Conv, ConvKernels, portable};
use crate::kernels::map;
use crate::kernels::window::Window;
use crate::parallel::{for_chunks, for_chunks_of_work, for_chunks_with_scratch};
use crate::{Array, Pool, Shape};
use std::arch::x86_64::*;

/// The kernels of this file, when the CPU has the instructions.
pub(crate) fn kernels() -> Option<&'static ConvKernels<f32>> {
    static KERNELS: ConvKernels<f32> =
        ConvKernels { name: "avx512 direct", forward, backward_data, backward_weight };
    std::is_x86_feature_detected!("avx512f").then_some(&KERNELS)
}

const LANES: usize = 16;
/// Pixels (or input values) of a register tile; with two vectors of channels this makes 16 accumulators.
const TILE: usize = 8;

/// A block of output channels: `vectors` (1 or 2) of 16, of which the last may be partly used.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    vectors: usize,
    masks: [__mmask16; 2],
    /// Where the block begins in packed weights, in units of K·16.
    start: usize,
}

fn blocks(out: usize) -> impl Iterator<Item = Block> + Clone {
    let mask = move |first: usize| -> __mmask16 {
        let n = out.saturating_sub(first).min(LANES);
        ((1u32 << n) - 1) as __mmask16
    };
    (0..out).step_by(2 * LANES).map(move |first| Block {
        first,
        vectors: (out - first).div_ceil(LANES).min(2),
        masks: [mask(first), mask(first + LANES)],
        start: first / LANES,
    })
}

/// Vectors of output channels in packed weights.
fn vectors(out: usize) -> usize {
    out.div_ceil(LANES)
}

/// Images padded into scratch together.
struct Padded {
    window: Window,
    height: usize,
    width: usize,
    images: usize,
}

impl Padded {
    fn new(g: &Window) -> Self {
        let (height, width) = (g.h + 2 * g.pad, g.w + 2 * g.pad);
        // Small maps are taken several images at a time, so that a block of weights is used for about 256 pixels once it is
        // in cache, within a quarter of a megabyte of scratch and with at least 16 groups where there are images enough.
        let pixels = (256 / (g.oh() * g.ow()).max(1)).max(1);
        let space = ((1 << 16) / (height * width * g.c).max(1)).max(1);
        let images = pixels.min(space).min(g.n.div_ceil(16)).max(1);
        Padded { window: *g, height, width, images }
    }

    fn image(&self) -> usize {
        self.height * self.width * self.window.c
    }

    fn scratch(&self) -> usize {
        if self.window.pad == 0 { 0 } else { self.images * self.image() }
    }

    /// Images `first ..` padded into `scratch`; without padding, the images where they are.
    fn fill<'a>(&self, x: &'a [f32], first: usize, count: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let g = &self.window;
        let x = &x[first * g.image()..(first + count) * g.image()];
        if g.pad == 0 {
            return x;
        }
        let (line, padded_line, edge) = (g.w * g.c, self.width * g.c, g.pad * g.c);
        for (image, out) in x.chunks_exact(g.image()).zip(scratch.chunks_exact_mut(self.image())) {
            out[..g.pad * padded_line].fill(0.0);
            out[(g.pad + g.h) * padded_line..].fill(0.0);
            let rows = out[g.pad * padded_line..].chunks_exact_mut(padded_line);
            for (row, out) in image.chunks_exact(line).zip(rows) {
                out[..edge].fill(0.0);
                out[edge..edge + line].copy_from_slice(row);
                out[edge + line..].fill(0.0);
            }
        }
        &scratch[..count * self.image()]
    }
}

/// OIHW → [block][ky][kx][i][16·V]; `flipped` swaps the roles of o and i and reverses the taps.
fn pack(conv: &Conv, w: &[f32], flipped: bool, packed: &mut [f32]) {
    let g = &conv.window;
    let taps = g.kh * g.kw;
    let (out, input) = if flipped { (g.c, conv.out) } else { (conv.out, g.c) };
    let k = taps * input;
    for_chunks(packed, 2 * LANES * k, |b, packed| {
        let width = packed.len() / k;
        for (row, packed) in packed.chunks_exact_mut(width).enumerate() {
            let (tap, i) = (row / input, row % input);
            for (lane, p) in packed.iter_mut().enumerate() {
                let o = b * 2 * LANES + lane;
                *p = match (o < out, flipped) {
                    (false, _) => 0.0,
                    (true, false) => w[(o * input + i) * taps + tap],
                    (true, true) => w[(i * out + o) * taps + (taps - 1 - tap)],
                };
            }
        }
    });
}

fn forward(conv: &Conv, x: &[f32], w: &[f32], y: &mut [f32], pool: &Pool<f32>) {
    let k = conv.window.patch();
    let mut packed = Array::stale(pool, Shape::new(&[vectors(conv.out) * LANES * k]));
    pack(conv, w, false, packed.make_mut());
    forward_packed(conv, x, packed.as_slice(), y, pool);
}

fn backward_data(conv: &Conv, y_bar: &[f32], w: &[f32], x_bar: &mut [f32], pool: &Pool<f32>) {
    let Some(adjoint) = conv.adjoint() else {
        return portable::backward_data(conv, y_bar, w, x_bar, pool);
    };
    let mut packed = Array::stale(pool, Shape::new(&[vectors(adjoint.out) * LANES * adjoint.window.patch()]));
    pack(conv, w, true, packed.make_mut());
    forward_packed(&adjoint, y_bar, packed.as_slice(), x_bar, pool);
}

fn forward_packed(conv: &Conv, x: &[f32], packed: &[f32], y: &mut [f32], pool: &Pool<f32>) {
    let (g, out) = (&conv.window, conv.out);
    let padded = Padded::new(g);
    let (oh, ow, k) = (g.oh(), g.ow(), g.patch());
    assert!(
        packed.len() == vectors(out) * LANES * k
            && x.len() == g.n * g.image()
            && y.len() == g.n * oh * ow * out
    );
    let image = oh * ow * out;
    for_chunks_with_scratch(
        y,
        padded.images * image,
        conv.multiply_adds(),
        pool,
        padded.scratch(),
        |part, y, scratch| {
            let count = y.len() / image;
            let x = padded.fill(x, part * padded.images, count, scratch);
            for block in blocks(out) {
                let w = &packed[block.start * LANES * k..][..block.vectors * LANES * k];
                for (x, y) in x.chunks_exact(padded.image()).zip(y.chunks_exact_mut(image)) {
                    for (oy, y) in y.chunks_exact_mut(ow * out).enumerate() {
                        let row = Row {
                            x: &x[oy * g.stride * padded.width * g.c..],
                            line: padded.width * g.c,
                            pixel: g.stride * g.c,
                            lines: g.kh,
                            run: g.kw * g.c,
                        };
                        // SAFETY: `kernels` has seen that the CPU has AVX-512F.
                        unsafe { output_row(&row, w, y, out, block) };
                    }
                }
            }
        },
    );
}

/// A row of output pixels, as seen from the padded input.
struct Row<'a> {
    /// The padded image from the first line of the row's windows on.
    x: &'a [f32],
    /// Elements from one line to the next.
    line: usize,
    /// Elements from one output pixel's window to the next one's.
    pixel: usize,
    /// Lines of the window.
    lines: usize,
    /// Contiguous elements of a window in a line: kw·c.
    run: usize,
}

/// Computes one block of channels of a row of output pixels.
#[target_feature(enable = "avx512f")]
fn output_row(row: &Row, w: &[f32], y: &mut [f32], out: usize, block: Block) {
    let pixels = y.len() / out;
    let mut first = 0;
    while first < pixels {
        let n = TILE.min(pixels - first);
        match block.vectors {
            1 => tile_of::<1>(n, row, w, y, out, block, first),
            _ => tile_of::<2>(n, row, w, y, out, block, first),
        }
        first += n;
    }
}

#[target_feature(enable = "avx512f")]
fn tile_of<const V: usize>(
    n: usize,
    row: &Row,
    w: &[f32],
    y: &mut [f32],
    out: usize,
    b: Block,
    first: usize,
) {
    match n {
        1 => output_tile::<1, V>(row, w, y, out, b, first),
        2 => output_tile::<2, V>(row, w, y, out, b, first),
        3 => output_tile::<3, V>(row, w, y, out, b, first),
        4 => output_tile::<4, V>(row, w, y, out, b, first),
        5 => output_tile::<5, V>(row, w, y, out, b, first),
        6 => output_tile::<6, V>(row, w, y, out, b, first),
        7 => output_tile::<7, V>(row, w, y, out, b, first),
        _ => output_tile::<TILE, V>(row, w, y, out, b, first),
    }
}

#[target_feature(enable = "avx512f")]
fn output_tile<const P: usize, const V: usize>(
    row: &Row,
    w: &[f32],
    y: &mut [f32],
    out: usize,
    block: Block,
    first: usize,
) {
    let end = (row.lines - 1) * row.line + (first + P - 1) * row.pixel + row.run;
    assert!(end <= row.x.len() && w.len() == row.lines * row.run * V * LANES && (first + P) * out <= y.len());
    let mut acc = [[_mm512_setzero_ps(); V]; P];
    // SAFETY: the last element of x read is `end − 1`, the last of w is `lines·run·V·16 − 1`; both were checked. Stores touch
    // pixels first .. first + P, whose channels `block.first ..` the masks limit to `out`.
    unsafe {
        let mut w = w.as_ptr();
        for line in 0..row.lines {
            let x = row.x.as_ptr().add(line * row.line + first * row.pixel);
            for j in 0..row.run {
                let wv: [__m512; V] = std::array::from_fn(|v| _mm512_loadu_ps(w.add(v * LANES)));
                w = w.add(V * LANES);
                for p in 0..P {
                    let value = _mm512_set1_ps(*x.add(p * row.pixel + j));
                    for v in 0..V {
                        acc[p][v] = _mm512_fmadd_ps(value, wv[v], acc[p][v]);
                    }
                }
            }
        }
        for (p, acc) in acc.iter().enumerate() {
            let y = y.as_mut_ptr().add((first + p) * out + block.first);
            for v in 0..V {
                _mm512_mask_storeu_ps(y.add(v * LANES), block.masks[v], acc[v]);
            }
        }
    }
}

fn backward_weight(conv: &Conv, x: &[f32], y_bar: &[f32], w_bar: &mut [f32], pool: &Pool<f32>) {
    let (g, out) = (&conv.window, conv.out);
    let padded = Padded::new(g);
    let (oh, ow, k) = (g.oh(), g.ow(), g.patch());
    let image = oh * ow * out;
    assert!(x.len() == g.n * g.image() && y_bar.len() == g.n * image && w_bar.len() == k * out);
    let size = vectors(out) * LANES * k;
    // Partial sums over fixed runs of images, added in order; fewer of them where weights are large.
    let parts = if size > 1 << 19 { 4 } else { 16 }.min(g.n.div_ceil(padded.images));
    let run = g.n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let work = conv.multiply_adds();
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, padded.scratch(), |part, sum, scratch| {
        sum.fill(0.0);
        let end = ((part + 1) * run).min(g.n);
        for first in (part * run..end).step_by(padded.images) {
            let count = padded.images.min(end - first);
            let x = padded.fill(x, first, count, scratch);
            let y_bar = &y_bar[first * image..(first + count) * image];
            for block in blocks(out) {
                let width = block.vectors * LANES;
                let sum = &mut sum[block.start * LANES * k..][..width * k];
                let row = g.kw * g.c;
                for (ky, sum) in sum.chunks_exact_mut(row * width).enumerate() {
                    let pixels = Pixels {
                        x: &x[ky * padded.width * g.c..],
                        y_bar,
                        images: count,
                        rows: oh,
                        cols: ow,
                        image: padded.image(),
                        line: g.stride * padded.width * g.c,
                        pixel: g.stride * g.c,
                        out,
                    };
                    for (tile, sum) in sum.chunks_mut(TILE * width).enumerate() {
                        // SAFETY: `kernels` has seen that the CPU has AVX-512F.
                        unsafe { weight_tile_of(&pixels, tile * TILE, sum, block) };
                    }
                }
            }
        }
    });
    // Σ of the parts, in order, into the first one; then back to OIHW.
    let partial = partial.make_mut();
    let (total, rest) = partial.split_at_mut(size);
    for_chunks_of_work(total, 1 << 12, parts * size, |i, total| {
        for part in rest.chunks_exact(size) {
            map::add_serial(total, &part[i << 12..][..total.len()]);
        }
    });
    unpack(conv, total, w_bar);
}

/// [block][ky][kx][i][16·V] → OIHW.
fn unpack(conv: &Conv, packed: &[f32], w_bar: &mut [f32]) {
    let (g, out) = (&conv.window, conv.out);
    let (taps, k) = (g.kh * g.kw, g.patch());
    for_chunks(w_bar, g.c * taps, |o, w_bar| {
        let start = o / (2 * LANES) * 2 * LANES;
        let width = (out - start).div_ceil(LANES).min(2) * LANES;
        let packed = &packed[start * k + o - start..];
        for i in 0..g.c {
            for tap in 0..taps {
                w_bar[i * taps + tap] = packed[(tap * g.c + i) * width];
            }
        }
    });
}

/// The pixels that a tile of weights is summed over, for one line of the window.
struct Pixels<'a> {
    /// The padded images from that line on.
    x: &'a [f32],
    y_bar: &'a [f32],
    images: usize,
    rows: usize,
    cols: usize,
    /// Elements of x from one image to the next, one row of output pixels to the next, one output pixel to the next.
    image: usize,
    line: usize,
    pixel: usize,
    /// Channels of ȳ.
    out: usize,
}

#[target_feature(enable = "avx512f")]
fn weight_tile_of(pixels: &Pixels, first: usize, sum: &mut [f32], b: Block) {
    match b.vectors {
        1 => weight_tile_of_width::<1>(pixels, first, sum, b),
        _ => weight_tile_of_width::<2>(pixels, first, sum, b),
    }
}

#[target_feature(enable = "avx512f")]
fn weight_tile_of_width<const V: usize>(pixels: &Pixels, first: usize, sum: &mut [f32], b: Block) {
    match sum.len() / (V * LANES) {
        1 => weight_tile::<1, V>(pixels, first, sum, b),
        2 => weight_tile::<2, V>(pixels, first, sum, b),
        3 => weight_tile::<3, V>(pixels, first, sum, b),
        4 => weight_tile::<4, V>(pixels, first, sum, b),
        5 => weight_tile::<5, V>(pixels, first, sum, b),
        6 => weight_tile::<6, V>(pixels, first, sum, b),
        7 => weight_tile::<7, V>(pixels, first, sum, b),
        _ => weight_tile::<TILE, V>(pixels, first, sum, b),
    }
}

/// Adds Σ x[first ..]·ȳ over all pixels to `sum` [P][16·V].
#[target_feature(enable = "avx512f")]
fn weight_tile<const P: usize, const V: usize>(g: &Pixels, first: usize, sum: &mut [f32], block: Block) {
    let end = (g.images - 1) * g.image + (g.rows - 1) * g.line + (g.cols - 1) * g.pixel + first + P;
    assert!(
        end <= g.x.len() && g.y_bar.len() == g.images * g.rows * g.cols * g.out && sum.len() == P * V * LANES
    );
    // SAFETY: the last element of x read is `end − 1`, checked; ȳ is read pixel by pixel from channel `block.first` on, under
    // masks that stop at `out`; `sum` holds P·V vectors.
    unsafe {
        // A fresh sum for every group of images, added to the total at the end: rounding does not grow with the batch.
        let mut acc = [[_mm512_setzero_ps(); V]; P];
        let mut y = g.y_bar.as_ptr().add(block.first);
        for image in 0..g.images {
            for row in 0..g.rows {
                let mut x = g.x.as_ptr().add(image * g.image + row * g.line + first);
                for _ in 0..g.cols {
                    let yv: [__m512; V] =
                        std::array::from_fn(|v| _mm512_maskz_loadu_ps(block.masks[v], y.add(v * LANES)));
                    for p in 0..P {
                        let value = _mm512_set1_ps(*x.add(p));
                        for v in 0..V {
                            acc[p][v] = _mm512_fmadd_ps(value, yv[v], acc[p][v]);
                        }
                    }
                    x = x.wrapping_add(g.pixel);
                    y = y.wrapping_add(g.out);
                }
            }
        }
        for p in 0..P {
            for v in 0..V {
                let total = sum.as_mut_ptr().add((p * V + v) * LANES);
                _mm512_storeu_ps(total, _mm512_add_ps(_mm512_loadu_ps(total), acc[p][v]));
            }
        }
    }
}
