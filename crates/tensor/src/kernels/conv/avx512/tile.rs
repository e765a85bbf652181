//! The register tiles that all AVX-512 kernels are made of.
//!
//! The forward tile holds `P` neighbouring output pixels × `V` vectors of 16 output channels and runs over all taps and input
//! channels: one broadcast of an input value feeds `V` multiply-adds, one load of a weight vector feeds `P`. In a row of the
//! window, taps and channels are contiguous in both operands, so the inner loop has length kw·c. The adjoint in the weights
//! holds `P` input values × `V` vectors of output channels and runs over pixels.
//!
//! Without taps these are matrix products, which is what Winograd's domain asks for.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::{Block, LANES};
use std::arch::x86_64::*;

/// Pixels (or input values) of a register tile; with two vectors of channels this makes 16 accumulators.
pub(super) const TILE: usize = 8;

/// A row of output pixels, as seen from the padded input.
pub(super) struct Row<'a> {
    /// The padded image from the first line of the row's windows on.
    pub x: &'a [f32],
    /// Elements from one line to the next.
    pub line: usize,
    /// Elements from one output pixel's window to the next one's.
    pub pixel: usize,
    /// Lines of the window.
    pub lines: usize,
    /// Contiguous elements of a window in a line: kw·c.
    pub run: usize,
    /// Output pixels.
    pub pixels: usize,
    /// Elements of the output from one pixel to the next.
    pub pitch: usize,
}

/// Computes one block of channels of a row of output pixels, of which `y` begins with the first.
#[target_feature(enable = "avx512f")]
pub(super) fn output_row(row: &Row, w: &[f32], y: &mut [f32], block: Block) {
    let mut first = 0;
    while first < row.pixels {
        let n = TILE.min(row.pixels - first);
        match block.vectors {
            1 => tile_of::<1>(n, row, w, y, block, first),
            _ => tile_of::<2>(n, row, w, y, block, first),
        }
        first += n;
    }
}

#[target_feature(enable = "avx512f")]
fn tile_of<const V: usize>(n: usize, row: &Row, w: &[f32], y: &mut [f32], b: Block, first: usize) {
    match n {
        1 => output_tile::<1, V>(row, w, y, b, first),
        2 => output_tile::<2, V>(row, w, y, b, first),
        3 => output_tile::<3, V>(row, w, y, b, first),
        4 => output_tile::<4, V>(row, w, y, b, first),
        5 => output_tile::<5, V>(row, w, y, b, first),
        6 => output_tile::<6, V>(row, w, y, b, first),
        7 => output_tile::<7, V>(row, w, y, b, first),
        _ => output_tile::<TILE, V>(row, w, y, b, first),
    }
}

#[target_feature(enable = "avx512f")]
fn output_tile<const P: usize, const V: usize>(
    row: &Row,
    w: &[f32],
    y: &mut [f32],
    block: Block,
    first: usize,
) {
    // A phase of the adjoint may see no taps: it reads nothing and stores zeros.
    let end = match row.lines * row.run {
        0 => 0,
        _ => (row.lines - 1) * row.line + (first + P - 1) * row.pixel + row.run,
    };
    assert!(
        end <= row.x.len()
            && w.len() == row.lines * row.run * V * LANES
            && (first + P - 1) * row.pitch + block.end() <= y.len()
    );
    let mut acc = [[_mm512_setzero_ps(); V]; P];
    // SAFETY: the last element of x read is `end − 1`, the last of w is `lines·run·V·16 − 1`; both were checked. Stores touch
    // pixels first .. first + P, whose channels the masks limit to `block.end()`: checked as well.
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
            let y = y.as_mut_ptr().add((first + p) * row.pitch + block.first);
            for v in 0..V {
                _mm512_mask_storeu_ps(y.add(v * LANES), block.masks[v], acc[v]);
            }
        }
    }
}

/// The pixels that a tile of weights is summed over, for one line of the window.
pub(super) struct Pixels<'a> {
    /// The padded images from that line on.
    pub x: &'a [f32],
    pub y_bar: &'a [f32],
    pub images: usize,
    pub rows: usize,
    pub cols: usize,
    /// Elements of x from one image to the next, one row of output pixels to the next, one output pixel to the next.
    pub image: usize,
    pub line: usize,
    pub pixel: usize,
    /// Elements of ȳ from one pixel to the next.
    pub pitch: usize,
}

#[target_feature(enable = "avx512f")]
pub(super) fn weight_tile_of(pixels: &Pixels, first: usize, sum: &mut [f32], b: Block) {
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
        end <= g.x.len()
            && g.y_bar.len() == g.images * g.rows * g.cols * g.pitch
            && block.end() <= g.pitch
            && sum.len() == P * V * LANES
    );
    // SAFETY: the last element of x read is `end − 1`, checked; ȳ is read pixel by pixel from channel `block.first` on, under
    // masks that stop at its last; `sum` holds P·V vectors.
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
                    y = y.wrapping_add(g.pitch);
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
