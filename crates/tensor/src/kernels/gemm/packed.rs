//! Matrix products at every vector width: the right operand is packed in blocks of columns, rows of the left one are copied side by side
//! where they lie far apart.

// Kernels run only where the CPU has their instructions: that is for the table to see to.
#![allow(unsafe_code)]

use super::View;
use crate::Element;
use crate::kernels::isa::{Vector, WIDEST};
use crate::kernels::tile::{Block, Left, Write, blocks, for_blocks, padded, products};
use crate::parallel::for_chunks_of_work;
use crate::pool::Storage;

/// Terms that a block of the right operand holds at a time: it stays in the first-level cache while all rows pass by.
const TERMS: usize = 256;

/// Elements of the right operand that are packed at a time, so that a large one is never held twice.
const PACKED: usize = 1 << 20;

/// Rows that one part computes, at least and at most: with fewer, loading a block of columns costs more than using it; more leave the
/// second-level cache.
const ROWS: [usize; 2] = [48, 192];

/// Rows that a product of one thread copies at most.
const SERIAL_ROWS: usize = 256;

/// Runs `f` with `len` stale elements of this thread's scratch memory.
fn with_scratch<T: Element, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    // Taken out while it is in use: a part that waits for others may begin another product.
    let mut free = T::scratch().take();
    let mut scratch = free.pop().unwrap_or_else(|| Storage::new(64));
    T::scratch().set(free);
    if scratch.len() < len {
        scratch = Storage::with_capacity(64, len);
        scratch.resize(len, T::ZERO);
    }
    let result = f(&mut scratch[..len]);
    let mut free = T::scratch().take();
    free.push(scratch);
    T::scratch().set(free);
    result
}

/// The rows of `a`, copied side by side where that makes a product with `columns` columns quicker: rows far apart fall into the same sets of
/// the cache, and each lies in a page of its own.
fn gather_rows<'a, T: Element>(a: View<'a, T>, columns: usize, scratch: &'a mut [T]) -> View<'a, T> {
    /// Columns that a copy is worth.
    const COLUMNS: usize = 32;
    /// Elements from one row to the next that are far apart.
    const FAR: usize = 128;
    let far = a.row_stride.max(a.col_stride) > FAR;
    if columns < COLUMNS || !far || a.rows == 0 || a.cols == 0 {
        return a;
    }
    let (outer, inner, stride) = match a.col_stride {
        1 => (a.rows, a.cols, a.row_stride),
        _ => (a.cols, a.rows, a.col_stride),
    };
    // A cache line more: the rows' beginnings shall not fall into the same sets either.
    let pitch = inner.next_multiple_of(16) + 16;
    for (o, row) in scratch.chunks_exact_mut(pitch).take(outer).enumerate() {
        row[..inner].copy_from_slice(&a.data[o * stride..][..inner]);
    }
    let data = &scratch[..outer * pitch];
    match a.col_stride {
        1 => View { data, row_stride: pitch, ..a },
        _ => View { data, col_stride: pitch, ..a },
    }
}

/// Elements of scratch that [`gather_rows`] may need.
fn gathered(rows: usize, terms: usize) -> usize {
    let size = |outer: usize, inner: usize| outer * (inner.next_multiple_of(16) + 16);
    size(rows, terms).max(size(terms, rows))
}

/// Columns `block` of `b` as rows of `block.width` elements, zero beyond the last column.
#[inline(always)]
fn pack_block<V: Vector>(b: View<V::Element>, block: Block, packed: &mut [V::Element]) {
    let width = block.width;
    let rows = packed.chunks_exact_mut(width);
    match b.col_stride {
        1 => {
            for (k, row) in rows.enumerate() {
                let from = k * b.row_stride + block.first;
                let from = &b.data[from..from + block.count];
                for v in (0..width).step_by(V::LANES) {
                    let (from, count) = (&from[v..], V::LANES.min(block.count - v));
                    let to = &mut row[v..v + V::LANES];
                    // SAFETY: `from` holds at least `count` elements, `to` as many as a vector.
                    unsafe {
                        match count == V::LANES {
                            true => V::load(from.as_ptr()).store(to.as_mut_ptr()),
                            false => V::load_first(from.as_ptr(), count).store(to.as_mut_ptr()),
                        }
                    }
                }
            }
        }
        // Squares of a vector's width, transposed in registers.
        _ => {
            assert!(b.row_stride == 1, "one stride of a view is 1");
            let terms = packed.len() / width;
            for lane in (0..width).step_by(V::LANES) {
                let columns = block.count.saturating_sub(lane).min(V::LANES);
                for first in (0..terms).step_by(V::LANES) {
                    let inside = V::LANES.min(terms - first);
                    let mut square = [V::zero(); WIDEST];
                    for (c, column) in square[..columns].iter_mut().enumerate() {
                        let from = &b.data[(block.first + lane + c) * b.col_stride + first..][..inside];
                        // SAFETY: `from` holds `inside` elements.
                        *column = unsafe { V::load_first(from.as_ptr(), inside) };
                    }
                    V::transpose(&mut square);
                    for (k, row) in square[..inside].iter().enumerate() {
                        let to = &mut packed[(first + k) * width + lane..][..V::LANES];
                        // SAFETY: `to` holds as many elements as a vector.
                        unsafe { row.store(to.as_mut_ptr()) };
                    }
                }
            }
        }
    }
}

/// Products of the rows of `a` with one packed block.
fn block_products<V: Vector>(
    a: View<V::Element>,
    packed: &[V::Element],
    block: Block,
    (dst, row_stride): (&mut [V::Element], usize),
    write: Write<V::Element>,
) {
    let left = Left { values: a.data, loops: [(1, 0); 2], run: a.cols, step: a.col_stride };
    let rows = (0..a.rows).map(|r| (r * a.row_stride, r * row_stride + block.first));
    // SAFETY: the kernels are chosen only where the CPU has the instructions.
    unsafe { products::<V>(&left, packed, (a.rows, rows), dst, block, write) };
}

/// Runs of about [`TERMS`] of `k` terms: (first, how many). Without terms there is one, for what is written then.
fn runs(k: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = k.div_ceil(TERMS).max(1);
    (0..count).map(move |i| (i * k / count, (i + 1) * k / count - i * k / count))
}

/// See [`scaled_rows`](super::scaled_rows).
pub(in crate::kernels) fn scaled_rows<V: Vector>(
    dst: &mut [V::Element],
    row_stride: usize,
    accumulate: bool,
    scale: V::Element,
    a: View<V::Element>,
    b: View<V::Element>,
) {
    let k = a.cols;
    let longest = runs(k).map(|(_, terms)| terms).max().unwrap_or(0);
    let panel = longest * 3 * V::LANES;
    with_scratch(panel + gathered(a.rows.min(SERIAL_ROWS), longest), |scratch| {
        let (panel, rows) = scratch.split_at_mut(panel);
        for (first, terms) in runs(k) {
            let write = Write { scale, add: accumulate || first > 0 };
            let mut a = a.part((0, a.rows), (first, terms));
            if a.rows <= SERIAL_ROWS {
                a = gather_rows(a, b.cols, rows);
            }
            let b = b.part((first, terms), (0, b.cols));
            for block in blocks::<V>(b.cols) {
                let packed = &mut panel[..terms * block.width];
                // SAFETY: the kernels are chosen only where the CPU has the instructions.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || pack_block::<V>(b, block, packed),
                    )
                };
                block_products::<V>(a, packed, block, (&mut *dst, row_stride), write);
            }
        }
    });
}

/// See [`matmul`](super::matmul).
pub(in crate::kernels) fn matmul<V: Vector>(
    dst: &mut [V::Element],
    accumulate: bool,
    a: View<V::Element>,
    b: View<V::Element>,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if m.max(n) <= 1 << 10 && k > 1 << 12 && k / 8 > m.max(n) {
        return by_terms::<V>(dst, accumulate, a, b);
    }
    // Whole blocks of columns at a time, of two vectors each.
    let columns = (PACKED / k.max(1)).next_multiple_of(2 * V::LANES).max(4 * V::LANES).min(n).max(1);
    for first in (0..n).step_by(columns) {
        let count = columns.min(n - first);
        by_rows::<V>((&mut dst[first..], n), accumulate, a, b.part((0, k), (first, count)));
    }
}

/// A product whose work is split by rows; all parts share the packed right operand.
fn by_rows<V: Vector>(
    (dst, row_stride): (&mut [V::Element], usize),
    accumulate: bool,
    a: View<V::Element>,
    b: View<V::Element>,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let work = m * n * k;
    let longest = runs(k).map(|(_, terms)| terms).max().unwrap_or(0);
    with_scratch(k * padded::<V>(n), |packed| {
        for_blocks::<V>(
            packed,
            n,
            |block| k * block.width,
            |block, packed| {
                // SAFETY: the kernels are chosen only where the CPU has the instructions.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || pack_block::<V>(b, block, packed),
                    )
                };
            },
        );
        let packed = &*packed;
        let rows = m.div_ceil(16).clamp(ROWS[0], ROWS[1]).min(m.max(1)).next_multiple_of(V::ROWS[1]);
        for_chunks_of_work(dst, rows * row_stride, work, |i, dst| {
            let count = rows.min(m - i * rows);
            with_scratch(gathered(count, longest), |scratch| {
                for (first, terms) in runs(k) {
                    let write = Write { scale: V::Element::ONE, add: accumulate || first > 0 };
                    let a = gather_rows(a.part((i * rows, count), (first, terms)), n, scratch);
                    for block in blocks::<V>(n) {
                        let packed = &packed[block.of(k)][first * block.width..][..terms * block.width];
                        block_products::<V>(a, packed, block, (&mut *dst, row_stride), write);
                    }
                }
            });
        });
    });
}

/// A product of few rows and columns with many terms, whose work is split by terms: sums over fixed runs of them, added in order.
fn by_terms<V: Vector>(dst: &mut [V::Element], accumulate: bool, a: View<V::Element>, b: View<V::Element>) {
    const PARTS: usize = 16;
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let (run, size) = (k.div_ceil(PARTS), m * n);
    with_scratch(PARTS * size, |sums| {
        for_chunks_of_work(sums, size, m * n * k, |part, sum| {
            let first = (part * run).min(k);
            let terms = run.min(k - first);
            let (a, b) = (a.part((0, m), (first, terms)), b.part((first, terms), (0, n)));
            scaled_rows::<V>(sum, n, false, V::Element::ONE, a, b);
        });
        for_chunks_of_work(dst, 1 << 12, PARTS * size, |i, dst| {
            if !accumulate {
                dst.fill(V::Element::ZERO);
            }
            for sum in sums.chunks_exact(size) {
                crate::kernels::map::add_serial(dst, &sum[i << 12..][..dst.len()]);
            }
        });
    });
}
