//! Weights between PyTorch's layout, OIHW, and the kernels' own, [block][tap][i][16·V].
//!
//! The kernels want sixteen output channels side by side, which lie a whole filter apart in OIHW: sixteen rows are read, transposed
//! in registers and stored as vectors, a cache line each.

use super::{LANES, mask, padded_channels};
use crate::parallel::for_chunks;
use std::arch::x86_64::*;

/// Sixteen rows of sixteen elements, transposed.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512; LANES]) -> [__m512; LANES] {
    // Of each 4×4 square first, then the squares.
    let mut squares = [_mm512_setzero_ps(); LANES];
    for r in (0..LANES).step_by(4) {
        let [a, b, c, d] = [rows[r], rows[r + 1], rows[r + 2], rows[r + 3]];
        let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        squares[r] = _mm512_shuffle_ps::<0x44>(ab, cd);
        squares[r + 1] = _mm512_shuffle_ps::<0xee>(ab, cd);
        squares[r + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
        squares[r + 3] = _mm512_shuffle_ps::<0xee>(ab_high, cd_high);
    }
    let mut columns = [_mm512_setzero_ps(); LANES];
    for c in 0..4 {
        let [a, b, e, f] = [squares[c], squares[4 + c], squares[8 + c], squares[12 + c]];
        let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        let (even2, odd2) = (_mm512_shuffle_f32x4::<0x88>(e, f), _mm512_shuffle_f32x4::<0xdd>(e, f));
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even, even2);
        columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even, even2);
        columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd, odd2);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd, odd2);
    }
    columns
}

/// `count` (at most 16) neighbouring columns of up to sixteen rows `pitch` elements apart, of which the first begins at `from`:
/// a vector over rows for each column, with zeros behind the last row.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn columns(w: &[f32], from: usize, pitch: usize, rows: usize, count: usize) -> [__m512; LANES] {
    assert!(rows > 0 && from + (rows - 1) * pitch + count <= w.len());
    let inside = mask(0, count);
    let row = |r: usize| match r < rows {
        // SAFETY: the mask stops at the last column, which was checked for the last row.
        true => unsafe { _mm512_maskz_loadu_ps(inside, w.as_ptr().add(from + r * pitch)) },
        false => _mm512_setzero_ps(),
    };
    transpose(std::array::from_fn(row))
}

/// Stores the inverse of [`columns`].
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_columns(
    columns: [__m512; LANES],
    w: &mut [f32],
    from: usize,
    pitch: usize,
    rows: usize,
    count: usize,
) {
    assert!(rows > 0 && from + (rows - 1) * pitch + count <= w.len());
    let inside = mask(0, count);
    for (r, row) in transpose(columns).into_iter().enumerate().take(rows) {
        // SAFETY: as in `columns`.
        unsafe { _mm512_mask_storeu_ps(w.as_mut_ptr().add(from + r * pitch), inside, row) };
    }
}

/// How OIHW weights are seen by a kernel.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub w: &'a [f32],
    /// Taps of the whole window.
    pub taps: usize,
    /// Input and output channels, as the kernel sees them.
    pub input: usize,
    pub out: usize,
    /// The roles of the channels are swapped: the adjoint in the data.
    pub swapped: bool,
}

impl Weights<'_> {
    /// Where the taps of output channel `o` and input channel `i` begin, and the elements from there to the next `o`.
    fn at(&self, o: usize, i: usize) -> (usize, usize) {
        let (at, pitch) = if self.swapped { (i * self.out + o, 1) } else { (o * self.input + i, self.input) };
        (at * self.taps, pitch * self.taps)
    }

    /// All taps (at most 16) of input channel `i` for output channels `o` to `o + 16`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn taps_of(&self, o: usize, i: usize) -> [__m512; LANES] {
        let (from, pitch) = self.at(o, i);
        columns(self.w, from, pitch, LANES.min(self.out - o), self.taps)
    }

    /// Packs the taps `taps`, in this order.
    pub(super) fn pack(&self, taps: &[usize], packed: &mut [f32]) {
        let mut order = vec![None; self.taps];
        taps.iter().enumerate().for_each(|(t, tap)| order[*tap] = Some(t));
        let rows = taps.len() * self.input;
        for_chunks(packed, 2 * LANES * rows, |b, packed| {
            let width = packed.len() / rows;
            for lane in (0..width).step_by(LANES) {
                // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
                unsafe { self.pack_vectors(&order, b * 2 * LANES + lane, &mut packed[lane..], width) };
            }
        });
    }

    /// Packs output channels `o` to `o + 16` into rows `width` elements apart. `order` says where each tap goes.
    #[target_feature(enable = "avx512f")]
    fn pack_vectors(&self, order: &[Option<usize>], o: usize, packed: &mut [f32], width: usize) {
        let rows = LANES.min(self.out - o);
        // What is contiguous in a filter: the taps of one input channel, or of all of them.
        let run = if self.swapped { self.taps } else { self.taps * self.input };
        for first in (0..self.taps * self.input).step_by(run) {
            let (from, pitch) = self.at(o, first / self.taps);
            let (mut i, mut tap) = (first / self.taps, 0);
            for column in (0..run).step_by(LANES) {
                let count = LANES.min(run - column);
                let vectors = match pitch {
                    // Output channels side by side already: nothing to transpose.
                    1 => {
                        let source = &self.w[from..from + rows];
                        // SAFETY: the mask stops at the last of `rows` elements.
                        let vector = unsafe { _mm512_maskz_loadu_ps(mask(0, rows), source.as_ptr()) };
                        [vector; LANES]
                    }
                    _ => columns(self.w, from + column, pitch, rows, count),
                };
                for vector in &vectors[..count] {
                    if let Some(t) = order[tap] {
                        let to = &mut packed[(t * self.input + i) * width..][..LANES];
                        // SAFETY: `to` has sixteen elements.
                        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), *vector) };
                    }
                    tap += 1;
                    if tap == self.taps {
                        (i, tap) = (i + 1, 0);
                    }
                }
            }
        }
    }
}

/// [block][tap][i][16·V] → OIHW.
pub(super) fn unpack(packed: &[f32], taps: usize, input: usize, out: usize, w_bar: &mut [f32]) {
    // Parts of sixteen output channels: a line of the packed weights is read by one part.
    for_chunks(w_bar, LANES * input * taps, |part, w_bar| {
        let first = part * LANES;
        let start = first / (2 * LANES) * 2 * LANES;
        let width = padded_channels(out - start).min(2 * LANES);
        let packed = &packed[start * taps * input + first - start..];
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { unpack_vectors(packed, taps, input, width, w_bar) };
    });
}

/// Sixteen output channels, from rows `width` elements apart.
#[target_feature(enable = "avx512f")]
fn unpack_vectors(packed: &[f32], taps: usize, input: usize, width: usize, w_bar: &mut [f32]) {
    let run = taps * input;
    let (mut i, mut tap) = (0, 0);
    for column in (0..run).step_by(LANES) {
        let count = LANES.min(run - column);
        let mut vectors = [_mm512_setzero_ps(); LANES];
        for vector in &mut vectors[..count] {
            let from = &packed[(tap * input + i) * width..][..LANES];
            // SAFETY: `from` has sixteen elements.
            *vector = unsafe { _mm512_loadu_ps(from.as_ptr()) };
            tap += 1;
            if tap == taps {
                (i, tap) = (i + 1, 0);
            }
        }
        store_columns(vectors, w_bar, column, run, w_bar.len() / run, count);
    }
}
