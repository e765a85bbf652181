//! Register tiles: what products of matrices and convolutions are made of, at every vector width.
//!
//! A tile holds up to [`MOST`] rows × up to three vectors of columns in registers and runs over the terms of their sums: one load of a vector
//! of the right operand feeds all rows, one broadcast of a number of the left operand feeds all vectors. Rows begin anywhere in the left
//! operand: at the rows of a matrix, at the pixels of an image. Terms lie in up to three nested loops: the taps of a window, the pixels of
//! images.
//!
//! Every sum runs in the order of its terms, in one worker: its bits do not depend on threads.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]
// Reads and writes take pointers; `tile` checks what lies behind them.
#![allow(unsafe_code)]

use crate::kernels::isa::Vector;
use crate::parallel::for_chunks_of_work;

/// Rows of a tile at most.
pub(crate) const MOST: usize = 8;

/// A block of columns: as many as one to three vectors hold, of which the last may be partly used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first column.
    pub first: usize,
    pub vectors: usize,
    /// Columns in use.
    pub count: usize,
    /// Columns that the vectors hold.
    pub width: usize,
}

impl Block {
    /// The block's part of arrays [block][row][width] of `rows` rows a block.
    pub fn of(&self, rows: usize) -> std::ops::Range<usize> {
        self.first * rows..(self.first + self.width) * rows
    }
}

/// The blocks of `columns` columns: of two vectors, the last of three where one would be left over, which would keep too few sums.
pub(crate) fn blocks<V: Vector>(columns: usize) -> impl Iterator<Item = Block> + Clone {
    let vectors = columns.div_ceil(V::LANES);
    let count = (vectors / 2).max(vectors.min(1));
    (0..count).map(move |i| {
        let (first, vectors) = (2 * i * V::LANES, if i + 1 == count { vectors - 2 * i } else { 2 });
        let width = vectors * V::LANES;
        Block { first, vectors, count: width.min(columns - first), width }
    })
}

/// The blocks of `columns` columns, of two vectors each, the last of one where one is left over: all of them have tiles of as many rows.
pub(crate) fn pairs<V: Vector>(columns: usize) -> impl Iterator<Item = Block> + Clone {
    let width = 2 * V::LANES;
    (0..columns).step_by(width).map(move |first| {
        let count = width.min(columns - first);
        let vectors = count.div_ceil(V::LANES);
        Block { first, vectors, count, width: vectors * V::LANES }
    })
}

/// Tiles of `count` rows, of about equal size, since one with few rows is slow, and at most `most`: the first row, and how many. Without rows
/// there is one, of none.
pub(crate) fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most).max(1);
    let (size, larger) = (count / tiles, count % tiles);
    (0..tiles).map(move |t| (t * size + t.min(larger), size + usize::from(t < larger)))
}

/// The parts of an array that has one for each of the blocks, of as many elements as `size` says.
pub(crate) fn block_parts<T>(
    blocks: impl Iterator<Item = Block>,
    mut array: &mut [T],
    size: impl Fn(&Block) -> usize,
) -> Vec<(Block, &mut [T])> {
    let split = |block: Block| {
        let (part, rest) = std::mem::take(&mut array).split_at_mut(size(&block));
        array = rest;
        (block, part)
    };
    blocks.map(split).collect()
}

/// Runs `f` on [`block_parts`], in parallel.
pub(crate) fn for_blocks<T: Send>(
    blocks: impl Iterator<Item = Block>,
    array: &mut [T],
    size: impl Fn(&Block) -> usize,
    f: impl Fn(Block, &mut [T]) + Sync,
) {
    let work = array.len();
    for_chunks_of_work(&mut block_parts(blocks, array, size), 1, work, |_, parts| {
        parts.iter_mut().for_each(|(block, part)| f(*block, part));
    });
}

/// Columns rounded up to whole vectors.
pub(crate) fn padded<V: Vector>(columns: usize) -> usize {
    columns.next_multiple_of(V::LANES)
}

/// The left operand, and where the terms of a row's sums lie in it.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub values: &'a [T],
    /// Nested loops over runs of terms, outermost first: how many, and the elements from one to the next.
    pub loops: [(usize, usize); 2],
    /// Terms of a run.
    pub run: usize,
    /// Elements from one term of a run to the next. Where that is not 1, rows lie side by side: each begins an element behind the one before
    /// it.
    pub step: usize,
    /// Rows of a tile at most: [`MOST`], or as many as lie side by side.
    pub most: usize,
}

impl<T> Left<'_, T> {
    /// Terms of a sum.
    fn count(&self) -> usize {
        self.loops.iter().map(|(count, _)| count).product::<usize>() * self.run
    }

    /// Elements from a row's first term to one past its last.
    fn span(&self) -> usize {
        match self.count() {
            0 => 0,
            _ => {
                self.loops.iter().map(|(n, step)| (n - 1) * step).sum::<usize>()
                    + (self.run - 1) * self.step
                    + 1
            }
        }
    }
}

/// What becomes of a sum: times `scale`, and added to what is there or not.
#[derive(Clone, Copy)]
pub(crate) struct Write<T> {
    pub scale: T,
    pub add: bool,
}

/// Sums of products for `count` rows and a block of columns. `rows` gives where each row begins in the left operand, and where its columns
/// begin in `out`.
///
/// # Safety
/// The CPU must have the instructions of `V`.
#[inline]
pub(crate) unsafe fn products<V: Vector>(
    left: &Left<V::Element>,
    right: &[V::Element],
    (count, mut rows): (usize, impl Iterator<Item = (usize, usize)>),
    out: &mut [V::Element],
    block: Block,
    write: Write<V::Element>,
) {
    for (_, n) in tiles(count, V::ROWS[block.vectors - 1].min(left.most)) {
        let (mut from, mut to) = ([0; MOST], [0; MOST]);
        for p in 0..n {
            let Some(row) = rows.next() else { panic!("fewer rows than {count}") };
            (from[p], to[p]) = row;
        }
        // SAFETY: the caller's.
        unsafe {
            match block.vectors {
                1 => of_rows::<V, 1>(n, left, right, &from, out, &to, block, write),
                2 => of_rows::<V, 2>(n, left, right, &from, out, &to, block, write),
                _ => of_rows::<V, 3>(n, left, right, &from, out, &to, block, write),
            }
        }
    }
}

#[allow(clippy::too_many_arguments)] // registers
#[inline]
unsafe fn of_rows<V: Vector, const N: usize>(
    rows: usize,
    left: &Left<V::Element>,
    right: &[V::Element],
    from: &[usize; MOST],
    out: &mut [V::Element],
    to: &[usize; MOST],
    block: Block,
    write: Write<V::Element>,
) {
    macro_rules! of {
        ($unit:literal: $($rows:literal)*) => {
            match rows {
                0 => (),
                // SAFETY: the caller's. Tiles that are never used are not compiled.
                $($rows if const { $rows <= V::ROWS[N - 1] } => unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || tile::<V, $rows, N, $unit>(left, right, from, out, to, block, write),
                    )
                },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    match left.step {
        1 => of!(true: 1 2 3 4 5 6 7 8),
        _ => of!(false: 1 2 3 4 5 6 7 8),
    }
}

/// `UNIT` says that the terms of a run lie side by side; otherwise the rows do.
#[inline(always)]
fn tile<V: Vector, const P: usize, const N: usize, const UNIT: bool>(
    left: &Left<V::Element>,
    right: &[V::Element],
    from: &[usize; MOST],
    out: &mut [V::Element],
    to: &[usize; MOST],
    block: Block,
    write: Write<V::Element>,
) {
    let [(outer, outer_step), (lines, line)] = left.loops;
    let (terms, span) = (left.count(), left.span());
    assert!(terms * N * V::LANES <= right.len(), "right operand");
    assert!(block.count <= N * V::LANES);
    for p in 0..P {
        // Without terms nothing is read.
        assert!(terms == 0 || from[p] + span <= left.values.len(), "left operand");
        assert!(UNIT || from[p] == from[0] + p, "rows side by side");
        assert!(to[p] + block.count <= out.len(), "rows outside the result");
    }
    // The lines of the result come while the sums are made.
    for p in 0..P {
        let out = out.as_ptr().wrapping_add(to[p]);
        V::prefetch(out);
        V::prefetch(out.wrapping_add(N * V::LANES - 1));
    }
    let mut sums = [[V::zero(); N]; P];
    // SAFETY: terms are read up to `span` elements behind the beginning of each row, and a vector of the right operand for each of them, all
    // of which were checked. Of the result the columns in use are touched, checked as well.
    unsafe {
        let mut b = right.as_ptr();
        for o in 0..outer {
            for l in 0..lines {
                let mut a = [left.values.as_ptr(); P];
                for p in 0..P {
                    a[p] = a[p].wrapping_add(from[p] + o * outer_step + l * line);
                }
                let mut left_over = left.run;
                while left_over >= UNROLLED {
                    for u in 0..UNROLLED {
                        let offset = if UNIT { u } else { 0 };
                        term::<V, P, N, UNIT>(&mut sums, &a, offset, b.add(u * N * V::LANES));
                        if !UNIT {
                            a[0] = a[0].wrapping_add(left.step);
                        }
                    }
                    if UNIT {
                        for p in 0..P {
                            a[p] = a[p].wrapping_add(UNROLLED);
                        }
                    }
                    b = b.add(UNROLLED * N * V::LANES);
                    left_over -= UNROLLED;
                }
                for _ in 0..left_over {
                    term::<V, P, N, UNIT>(&mut sums, &a, 0, b);
                    for p in 0..P {
                        a[p] = a[p].wrapping_add(if UNIT { 1 } else { left.step });
                    }
                    b = b.add(N * V::LANES);
                }
            }
        }
        let scale = V::splat(write.scale);
        for p in 0..P {
            let out = out.as_mut_ptr().add(to[p]);
            for v in 0..N {
                let (out, sum) = (out.wrapping_add(v * V::LANES), sums[p][v]);
                let count = block.count.saturating_sub(v * V::LANES).min(V::LANES);
                let sum = match (write.add, count == V::LANES) {
                    (false, _) => sum.mul(scale),
                    (true, true) => sum.multiply_add(scale, V::load(out)),
                    (true, false) => sum.multiply_add(scale, V::load_first(out, count)),
                };
                match count == V::LANES {
                    true => sum.store(out),
                    false => sum.store_first(out, count),
                }
            }
        }
    }
}

/// Terms between two looks at the counter.
const UNROLLED: usize = 4;

/// Adds one term to all sums of a tile. Of rows that lie side by side, `a[0]` alone counts.
///
/// # Safety
/// The rows' elements at `offset`, and `N` vectors from `b` on, can be read.
#[inline(always)]
unsafe fn term<V: Vector, const P: usize, const N: usize, const UNIT: bool>(
    sums: &mut [[V; N]; P],
    a: &[*const V::Element; P],
    offset: usize,
    b: *const V::Element,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut columns = [V::zero(); N];
        for v in 0..N {
            columns[v] = V::load(b.add(v * V::LANES));
        }
        for p in 0..P {
            let value = V::splat(if UNIT { *a[p].add(offset) } else { *a[0].add(offset + p) });
            for v in 0..N {
                sums[p][v] = value.multiply_add(columns[v], sums[p][v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::baseline;

    #[test]
    fn blocks_cover_all_columns_once() {
        for columns in 0..70 {
            let all: Vec<Block> = blocks::<baseline::F32>(columns).collect();
            let mut next = 0;
            for block in &all {
                assert!(
                    block.first == next && block.count > 0 && block.count <= block.width,
                    "{columns}: {all:?}"
                );
                assert!(block.width == block.vectors * 4 && block.vectors <= 3);
                next = block.first + block.count;
            }
            assert_eq!(next, columns);
            assert_eq!(all.iter().map(|b| b.width).sum::<usize>(), padded::<baseline::F32>(columns));
        }
    }
}
