//! Matrix products at every vector width: the right operand is packed in blocks of columns, the left one in tiles of rows where
//! it is transposed and its terms lie far apart (Goto and van de Geijn 2008).

// Kernels run only where the CPU has their instructions: that is for the table to see to.
#![allow(unsafe_code)]

use super::View;
use crate::Element;
use crate::kernels::isa::{Vector, WIDEST};
use crate::kernels::tile::{Block, Left, MOST, Write, for_blocks, padded, pairs, products, tiles};
use crate::parallel::for_chunks_of_work;
use crate::pool::Storage;

/// Terms that a block of the right operand holds at a time: it stays in the first-level cache while all rows pass by.
const TERMS: usize = 384;

/// Elements of the right operand that are packed at a time: they stay in the last caches until all rows have passed by.
const PACKED: usize = 1 << 18;

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

/// The left operand as tiles read it.
struct Rows<'a, T> {
    left: Left<'a, T>,
    count: usize,
    /// Elements from one row to the next, or from one tile's copy to the next.
    step: usize,
    copied: bool,
}

/// Whether a product copies rows that lie side by side, with these elements from one term to the next: where terms are far apart, each lies in
/// a page of its own, and all may fall into the same sets of the cache.
fn copies(row_stride: usize, term_stride: usize, columns: usize) -> bool {
    /// Columns that a copy is worth.
    const COLUMNS: usize = 32;
    /// Elements that are far apart.
    const FAR: usize = 128;
    columns >= COLUMNS && row_stride == 1 && term_stride > FAR
}

impl<'a, T: Element> Rows<'a, T> {
    /// The rows of `a` for a product with `columns` columns.
    fn new<V: Vector<Element = T>>(a: View<'a, T>, columns: usize, scratch: &'a mut [T]) -> Self {
        let copied = copies(a.row_stride, a.col_stride, columns);
        let (values, run_step, most, step) = match copied {
            false => (a.data, a.col_stride, MOST, a.row_stride),
            true => {
                // SAFETY: the kernels are chosen only where the CPU has the instructions.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || copy_rows::<V>(a, scratch),
                    )
                };
                (&*scratch, V::ROWS[1], V::ROWS[1], tile_copy::<V>(a.cols))
            }
        };
        let left = Left { values, loops: [(1, 0); 2], run: a.cols, step: run_step, most };
        Rows { left, count: a.rows, step, copied }
    }

    /// Products with one packed block.
    fn products<V: Vector<Element = T>>(
        &self,
        packed: &[T],
        block: Block,
        (dst, row_stride): (&mut [T], usize),
        write: Write<T>,
    ) {
        let to = |row: usize| row * row_stride + block.first;
        // SAFETY: the kernels are chosen only where the CPU has the instructions.
        unsafe {
            match self.copied {
                true => {
                    let rows = tiles(self.count, self.left.most)
                        .enumerate()
                        .flat_map(|(t, (first, n))| (0..n).map(move |p| (t * self.step + p, to(first + p))));
                    products::<V>(&self.left, packed, (self.count, rows), dst, block, write)
                }
                false => {
                    let rows = (0..self.count).map(|r| (r * self.step, to(r)));
                    products::<V>(&self.left, packed, (self.count, rows), dst, block, write)
                }
            }
        }
    }
}

/// Elements of one tile's copy of `terms` terms, and of what the copying writes behind them.
fn tile_copy<V: Vector>(terms: usize) -> usize {
    terms * V::ROWS[1] + WIDEST
}

/// Elements of scratch that [`Rows::new`] needs for `rows` rows of `a` and `terms` terms.
fn scratch_for<V: Vector>(a: &View<V::Element>, (rows, terms): (usize, usize), columns: usize) -> usize {
    match copies(a.row_stride, a.col_stride, columns) {
        true => rows.div_ceil(V::ROWS[1]) * tile_copy::<V>(terms),
        false => 0,
    }
}

/// Copies rows that lie side by side for tiles: of each tile, term by term, the elements of its rows.
#[inline(always)]
fn copy_rows<V: Vector>(a: View<V::Element>, to: &mut [V::Element]) {
    let (most, pitch) = (V::ROWS[1], tile_copy::<V>(a.cols));
    let vectors = most.div_ceil(V::LANES);
    assert!(vectors * V::LANES - most <= WIDEST && a.rows.div_ceil(most) * pitch <= to.len());
    assert!(a.rows == 0 || a.cols == 0 || (a.cols - 1) * a.col_stride + a.rows <= a.data.len());
    // Whole vectors are written: those of one term reach into the place of the next, which is written after them, or behind the last. Whole
    // ones are read, too, but at the end of the data.
    let inside = |term: usize| term * a.col_stride + a.rows + vectors * V::LANES <= a.data.len();
    for term in 0..a.cols {
        let from = a.data.as_ptr().wrapping_add(term * a.col_stride);
        let to = to.as_mut_ptr().wrapping_add(term * most);
        let whole = inside(term);
        for (t, (row, rows)) in tiles(a.rows, most).enumerate() {
            for v in 0..vectors {
                let first = v * V::LANES;
                let (from, to) = (from.wrapping_add(row + first), to.wrapping_add(t * pitch + first));
                // SAFETY: the elements of the tile's rows are read, and behind them what was seen to be there; a term's vectors end at most
                // WIDEST elements behind its place.
                unsafe {
                    match whole {
                        true => V::load(from).store(to),
                        false => V::load_first(from, rows.saturating_sub(first).min(V::LANES)).store(to),
                    }
                }
            }
        }
    }
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

/// Runs of about equal length, `most` terms at most, of `k` terms: (first, how many). Without terms there is one, for what is written then.
fn runs(k: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = k.div_ceil(most).max(1);
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
    let longest = runs(k, TERMS).map(|(_, terms)| terms).max().unwrap_or(0);
    let panel = longest * 2 * V::LANES;
    // Columns that make a copy worth it where there are not too many rows.
    let columns = if a.rows <= SERIAL_ROWS { b.cols } else { 0 };
    with_scratch(panel + scratch_for::<V>(&a, (a.rows, longest), columns), |scratch| {
        let (panel, copied) = scratch.split_at_mut(panel);
        for (first, terms) in runs(k, TERMS) {
            let write = Write { scale, add: accumulate || first > 0 };
            let rows = Rows::new::<V>(a.part((0, a.rows), (first, terms)), columns, copied);
            let b = b.part((first, terms), (0, b.cols));
            for block in pairs::<V>(b.cols) {
                let packed = &mut panel[..terms * block.width];
                // SAFETY: the kernels are chosen only where the CPU has the instructions.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || pack_block::<V>(b, block, packed),
                    )
                };
                rows.products::<V>(packed, block, (&mut *dst, row_stride), write);
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
    // Whole blocks of columns at a time, of two vectors each, and of their terms as many as there is room for: the left operand is copied
    // once for each.
    let columns = (PACKED / TERMS).next_multiple_of(2 * V::LANES).min(n).max(1);
    let terms = (PACKED / columns).max(TERMS);
    for first in (0..n).step_by(columns) {
        let count = columns.min(n - first);
        for (term, terms) in runs(k, terms) {
            let (a, b) = (a.part((0, m), (term, terms)), b.part((term, terms), (first, count)));
            by_rows::<V>((&mut dst[first..], n), accumulate || term > 0, a, b);
        }
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
    let longest = runs(k, TERMS).map(|(_, terms)| terms).max().unwrap_or(0);
    with_scratch(k * padded::<V>(n), |packed| {
        for_blocks(
            pairs::<V>(n),
            packed,
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
            with_scratch(scratch_for::<V>(&a, (count, longest), n), |scratch| {
                for (first, terms) in runs(k, TERMS) {
                    let write = Write { scale: V::Element::ONE, add: accumulate || first > 0 };
                    let rows = Rows::new::<V>(a.part((i * rows, count), (first, terms)), n, scratch);
                    for block in pairs::<V>(n) {
                        let packed = &packed[block.of(k)][first * block.width..][..terms * block.width];
                        rows.products::<V>(packed, block, (&mut *dst, row_stride), write);
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
