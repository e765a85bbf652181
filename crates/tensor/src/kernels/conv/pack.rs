//! Weights between PyTorch's layout, OIHW, and the kernels' own, [block][tap][i][channels of the block], zero beyond the last channel.
//!
//! The kernels want a vector of output channels side by side, which lie a whole filter apart in OIHW: as many rows as a vector has lanes are
//! read, transposed in registers and stored as vectors.

// Indices of squares are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use crate::Element;
use crate::kernels::isa::{Vector, WIDEST};
use crate::kernels::tile::{blocks, for_blocks};

/// `count` (at most [`WIDEST`]) neighbouring columns of up to [`Vector::LANES`] rows `pitch` elements apart, of which the first begins at
/// `from`: a vector over rows for each column, with zeros behind the last row.
#[inline(always)]
pub(super) fn columns<V: Vector>(
    w: &[V::Element],
    from: usize,
    pitch: usize,
    rows: usize,
    count: usize,
) -> [V; WIDEST] {
    assert!(rows > 0 && rows <= V::LANES && count <= WIDEST && from + (rows - 1) * pitch + count <= w.len());
    let mut all = [V::zero(); WIDEST];
    let mut first = 0;
    while first < count {
        let inside = (count - first).min(V::LANES);
        let mut square = [V::zero(); WIDEST];
        for r in 0..V::LANES {
            if r < rows {
                // SAFETY: the last column was checked for the last row.
                square[r] = unsafe { V::load_first(w.as_ptr().add(from + r * pitch + first), inside) };
            }
        }
        V::transpose(&mut square);
        for c in 0..V::LANES {
            if first + c < WIDEST {
                all[first + c] = square[c];
            }
        }
        first += V::LANES;
    }
    all
}

/// Stores the inverse of [`columns`].
#[inline(always)]
pub(super) fn store_columns<V: Vector>(
    columns: &[V; WIDEST],
    w: &mut [V::Element],
    from: usize,
    pitch: usize,
    rows: usize,
    count: usize,
) {
    assert!(rows > 0 && rows <= V::LANES && count <= WIDEST && from + (rows - 1) * pitch + count <= w.len());
    let mut first = 0;
    while first < count {
        let inside = (count - first).min(V::LANES);
        let mut square = [V::zero(); WIDEST];
        for c in 0..V::LANES {
            if first + c < WIDEST {
                square[c] = columns[first + c];
            }
        }
        V::transpose(&mut square);
        for r in 0..V::LANES {
            if r < rows {
                // SAFETY: as in `columns`.
                unsafe { square[r].store_first(w.as_mut_ptr().add(from + r * pitch + first), inside) };
            }
        }
        first += V::LANES;
    }
}

/// How OIHW weights are seen by a kernel.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a, T> {
    pub w: &'a [T],
    /// Taps of the whole window.
    pub taps: usize,
    /// Input and output channels, as the kernel sees them.
    pub input: usize,
    pub out: usize,
    /// The roles of the channels are swapped: the adjoint in the data.
    pub swapped: bool,
}

impl<T: Element> Weights<'_, T> {
    /// Where the taps of output channel `o` and input channel `i` begin, and the elements from there to the next `o`.
    #[inline(always)]
    fn at(&self, o: usize, i: usize) -> (usize, usize) {
        let (at, pitch) = if self.swapped { (i * self.out + o, 1) } else { (o * self.input + i, self.input) };
        (at * self.taps, pitch * self.taps)
    }

    /// All taps (at most [`WIDEST`]) of input channel `i` for a vector of output channels from `o` on.
    #[inline(always)]
    pub(super) fn taps_of<V: Vector<Element = T>>(&self, o: usize, i: usize) -> [V; WIDEST] {
        let (from, pitch) = self.at(o, i);
        columns(self.w, from, pitch, V::LANES.min(self.out - o), self.taps)
    }

    /// Packs the taps `taps`, in this order, into [block][tap][i][channels].
    pub(super) fn pack<V: Vector<Element = T>>(&self, taps: &[usize], packed: &mut [T]) {
        let mut order = vec![None; self.taps];
        taps.iter().enumerate().for_each(|(t, tap)| order[*tap] = Some(t));
        let rows = taps.len() * self.input;
        for_blocks(
            blocks::<V>(self.out),
            packed,
            |b| rows * b.width,
            |block, packed| {
                for lane in (0..block.count).step_by(V::LANES) {
                    // SAFETY: the kernels are chosen only where the CPU has the instructions.
                    unsafe {
                        V::vectorize(
                            #[inline(always)]
                            || {
                                self.pack_vectors::<V>(
                                    &order,
                                    block.first + lane,
                                    &mut packed[lane..],
                                    block.width,
                                )
                            },
                        );
                    }
                }
            },
        );
    }

    /// Packs a vector of output channels from `o` on into rows `width` elements apart. `order` says where each tap goes.
    #[inline(always)]
    fn pack_vectors<V: Vector<Element = T>>(
        &self,
        order: &[Option<usize>],
        o: usize,
        packed: &mut [T],
        width: usize,
    ) {
        let rows = V::LANES.min(self.out - o);
        // What is contiguous in a filter: the taps of one input channel, or of all of them.
        let run = if self.swapped { self.taps } else { self.taps * self.input };
        let mut first = 0;
        while first < self.taps * self.input {
            let (from, pitch) = self.at(o, first / self.taps);
            let (mut i, mut tap) = (first / self.taps, 0);
            let mut column = 0;
            while column < run {
                let count = V::LANES.min(run - column);
                let vectors = columns::<V>(self.w, from + column, pitch, rows, count);
                for vector in &vectors[..count] {
                    if let Some(t) = order[tap] {
                        let to = &mut packed[(t * self.input + i) * width..][..V::LANES];
                        // SAFETY: `to` has as many elements as a vector.
                        unsafe { vector.store(to.as_mut_ptr()) };
                    }
                    tap += 1;
                    if tap == self.taps {
                        (i, tap) = (i + 1, 0);
                    }
                }
                column += V::LANES;
            }
            first += run;
        }
    }
}

/// [block][tap][i][channels] → OIHW.
pub(super) fn unpack<V: Vector>(
    packed: &[V::Element],
    taps: usize,
    input: usize,
    out: usize,
    w_bar: &mut [V::Element],
) {
    let filter = taps * input;
    for_blocks(
        blocks::<V>(out),
        w_bar,
        |b| filter * b.count,
        |block, w_bar| {
            let packed = &packed[block.of(filter)];
            for lane in (0..block.count).step_by(V::LANES) {
                let rows = V::LANES.min(block.count - lane);
                let w_bar = &mut w_bar[lane * filter..][..rows * filter];
                // SAFETY: the kernels are chosen only where the CPU has the instructions.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || unpack_vectors::<V>(&packed[lane..], taps, input, block.width, w_bar),
                    );
                }
            }
        },
    );
}

/// A vector of output channels, from rows `width` elements apart.
#[inline(always)]
fn unpack_vectors<V: Vector>(
    packed: &[V::Element],
    taps: usize,
    input: usize,
    width: usize,
    w_bar: &mut [V::Element],
) {
    let run = taps * input;
    let (mut i, mut tap) = (0, 0);
    let mut column = 0;
    while column < run {
        let count = V::LANES.min(run - column);
        let mut vectors = [V::zero(); WIDEST];
        for vector in &mut vectors[..count] {
            let from = &packed[(tap * input + i) * width..][..V::LANES];
            // SAFETY: `from` has as many elements as a vector.
            *vector = unsafe { V::load(from.as_ptr()) };
            tap += 1;
            if tap == taps {
                (i, tap) = (i + 1, 0);
            }
        }
        store_columns(&vectors, w_bar, column, run, w_bar.len() / run, count);
        column += V::LANES;
    }
}
