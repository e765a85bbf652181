//! Element-wise loops over arrays that broadcast (NumPy's rule: axes aligned at the last, extents equal or 1), and sums over the axes that
//! do, which are the adjoints.
//!
//! Neighbouring axes along which the same arrays repeat are one. What repeats is laid out beside the rest a few hundred elements at a time, in
//! the first-level cache: one loop serves numbers per channel, per row, per sample and all others.

// Loops go by index: see `map`.
#![allow(clippy::needless_range_loop)]

use crate::kernels::isa::vectorized;
use crate::kernels::reduce::{BLOCK, by_blocks};
use crate::parallel::{CHUNK, for_chunks, for_chunks_of_work, for_parts};
use crate::{Element, Shape};
use std::array::from_fn;
use std::ops::Range;
use std::sync::OnceLock;

/// Elements laid out at a time.
const PIECE: usize = 512;
/// No array has more axes.
const AXES: usize = 8;

/// How arrays of smaller shapes (the parts) lie in the index space of a result.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The result's axes, those merged along which every part either repeats or does not.
    extents: Vec<usize>,
    /// For every part, the step of each of those axes; 0 where it repeats.
    strides: Vec<[usize; AXES]>,
    /// Elements of each part.
    sizes: Vec<usize>,
    len: usize,
}

/// An operand of [`map()`] and [`sum`].
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a, T> {
    /// An array of the result's shape.
    Full(&'a [T]),
    /// An array of the shape of this part of the [`Broadcast`].
    Part(usize, &'a [T]),
    /// One number.
    Number(T),
}

impl Broadcast {
    /// The shape that two shapes broadcast to; `None` when an extent is neither equal nor 1.
    pub fn shape(a: Shape, b: Shape) -> Option<Shape> {
        let rank = a.rank().max(b.rank());
        // Axis `i` of the result, as `s` has it.
        let extent = |s: Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |i| s[i]);
        let dims: Option<Vec<usize>> = (0..rank)
            .map(|i| match (extent(a, i), extent(b, i)) {
                (x, y) if x == y || y == 1 => Some(x),
                (1, y) => Some(y),
                _ => None,
            })
            .collect();
        dims.map(|dims| Shape::new(&dims))
    }

    /// Parts of these shapes, each of which broadcasts to `y`.
    pub fn new(y: Shape, parts: &[Shape]) -> Self {
        let repeats = |part: &Shape, i: usize| {
            let own = (i + part.rank()).checked_sub(y.rank()).map_or(1, |i| part[i]);
            assert!(own == y[i] || own == 1, "{part} does not broadcast to {y}");
            own != y[i]
        };
        let mut axes: Vec<(usize, Vec<bool>)> = vec![];
        for i in (0..y.rank()).filter(|&i| y[i] != 1) {
            let pattern: Vec<bool> = parts.iter().map(|part| repeats(part, i)).collect();
            match axes.last_mut() {
                Some((extent, last)) if *last == pattern => *extent *= y[i],
                _ => axes.push((y[i], pattern)),
            }
        }
        if axes.is_empty() {
            axes.push((1, vec![true; parts.len()]));
        }
        let strides = (0..parts.len()).map(|p| {
            let (mut strides, mut step) = ([0; AXES], 1);
            for (i, (extent, repeats)) in axes.iter().enumerate().rev() {
                if !repeats[p] {
                    strides[i] = step;
                    step *= extent;
                }
            }
            strides
        });
        Broadcast {
            strides: strides.collect(),
            extents: axes.iter().map(|(extent, _)| *extent).collect(),
            sizes: parts.iter().map(Shape::len).collect(),
            len: y.len(),
        }
    }

    /// `f(offset in the range, length, where in the part)` for every stretch of the last axis in a range of the result.
    #[inline(always)]
    fn stretches(&self, part: usize, range: Range<usize>, mut f: impl FnMut(usize, usize, usize)) {
        let (extents, strides, last) = (&self.extents, &self.strides[part], self.extents.len() - 1);
        let (mut index, mut rest) = ([0; AXES], range.start);
        for i in (0..=last).rev() {
            index[i] = rest % extents[i];
            rest /= extents[i];
        }
        let mut base: usize = (0..last).map(|i| index[i] * strides[i]).sum();
        let (mut at, mut column, len) = (0, index[last], range.len());
        while at < len {
            let n = (extents[last] - column).min(len - at);
            f(at, n, base + column * strides[last]);
            at += n;
            column = 0;
            for i in (0..last).rev() {
                index[i] += 1;
                base += strides[i];
                if index[i] < extents[i] {
                    break;
                }
                base -= strides[i] * extents[i];
                index[i] = 0;
            }
        }
    }

    /// Lays out a range of a part as the result has it.
    #[inline(always)]
    fn lay_out<T: Element>(&self, part: usize, x: &[T], range: Range<usize>, out: &mut [T]) {
        let last = self.extents.len() - 1;
        let (width, repeats) = (self.extents[last], self.strides[part][last] == 0);
        let one_row = !repeats && self.sizes[part] == width;
        if one_row && width < out.len() {
            // The same row over and over: what is written so far is copied.
            let from = range.start % width;
            out[..width - from].copy_from_slice(&x[from..]);
            out[width - from..width].copy_from_slice(&x[..from]);
            let (mut done, n) = (width, out.len());
            while done < n {
                let more = done.min(n - done);
                out.copy_within(..more, done);
                done += more;
            }
            return;
        }
        self.stretches(part, range, |at, n, from| {
            if repeats {
                out[at..at + n].fill(x[from]);
            } else {
                out[at..at + n].copy_from_slice(&x[from..from + n]);
            }
        });
    }
}

/// Operands in the form that [`piece`] takes.
struct Operands<'a, T, const A: usize> {
    x: [Operand<'a, T>; A],
    /// What numbers fill, and where parts are laid out.
    scratch: [[T; PIECE]; A],
}

impl<'a, T: Element, const A: usize> Operands<'a, T, A> {
    fn new(g: &Broadcast, x: [Operand<'a, T>; A]) -> Self {
        let scratch = x.map(|x| [if let Operand::Number(v) = x { v } else { T::ZERO }; PIECE]);
        let x = x.map(|x| match x {
            Operand::Part(part, x) if g.sizes[part] == g.len => Operand::Full(x),
            x => x,
        });
        for x in &x {
            match x {
                Operand::Full(x) => assert_eq!(x.len(), g.len, "an operand of the result's shape"),
                Operand::Part(part, x) => assert_eq!(x.len(), g.sizes[*part], "operand {part}"),
                Operand::Number(_) => {}
            }
        }
        Operands { x, scratch }
    }
}

/// `out = f(x…)` for a run of the result that begins at `start`.
#[inline(never)]
fn run<T: Element, const A: usize>(
    g: &Broadcast,
    x: &Operands<'_, T, A>,
    start: usize,
    out: &mut [T],
    f: &impl Fn([T; A]) -> T,
) {
    let mut scratch = x.scratch;
    for (piece, out) in out.chunks_mut(PIECE).enumerate() {
        let (start, n) = (start + piece * PIECE, out.len());
        for (x, scratch) in x.x.iter().zip(scratch.iter_mut()) {
            if let Operand::Part(part, x) = x {
                g.lay_out(*part, x, start..start + n, &mut scratch[..n]);
            }
        }
        let x: [&[T]; A] = from_fn(|a| match &x.x[a] {
            Operand::Full(x) => &x[start..start + n],
            Operand::Part(..) | Operand::Number(_) => &scratch[a][..n],
        });
        vectorized::<T, _>(
            #[inline(always)]
            || {
                let x16: [&[[T; BLOCK]]; A] = x.map(|x| x.as_chunks().0);
                for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                    by_blocks();
                    let x: [[T; BLOCK]; A] = from_fn(|a| x16[a][i]);
                    let mut result = [T::ZERO; BLOCK];
                    for lane in 0..BLOCK {
                        result[lane] = f(from_fn(|a| x[a][lane]));
                    }
                    *out = result;
                }
                for i in n / BLOCK * BLOCK..n {
                    out[i] = f(from_fn(|a| x[a][i]));
                }
            },
        );
    }
}

/// `out = f(x…)`, element by element; `out` has the result's shape.
pub fn map<T: Element, const A: usize>(
    g: &Broadcast,
    out: &mut [T],
    x: [Operand<'_, T>; A],
    f: impl Fn([T; A]) -> T + Sync,
) {
    assert_eq!(out.len(), g.len, "elements of the result");
    let x = Operands::new(g, x);
    for_chunks(out, CHUNK, |i, out| run(g, &x, i * CHUNK, out, &f));
}

/// `out = Σ f(x…)` over what falls on the same element of part `to`, whose shape `out` has. Sums are in f64.
pub fn sum<T: Element, const A: usize>(
    g: &Broadcast,
    to: usize,
    out: &mut [T],
    x: [Operand<'_, T>; A],
    f: impl Fn([T; A]) -> T + Sync,
) {
    let x = Operands::new(g, x);
    sums(g, to, out, &|start, out| run(g, &x, start, out, &f));
}

/// Adds a run of the result that begins at `start` to the sums for part `to`, which begin at its element `base`.
fn add<T: Element>(g: &Broadcast, to: usize, start: usize, values: &[T], base: usize, sums: &mut [f64]) {
    let summed = g.strides[to][g.extents.len() - 1] == 0;
    vectorized::<T, _>(
        #[inline(always)]
        || {
            g.stretches(
                to,
                start..start + values.len(),
                #[inline(always)]
                |at, n, from| {
                    let values = &values[at..at + n];
                    if summed {
                        let (blocks, rest) = values.as_chunks::<BLOCK>();
                        let mut lanes = [0.0; BLOCK];
                        for block in blocks {
                            for i in 0..BLOCK {
                                lanes[i] += block[i].to_f64();
                            }
                        }
                        for i in 0..rest.len() {
                            lanes[i] += rest[i].to_f64();
                        }
                        let mut total = 0.0;
                        for i in 0..BLOCK {
                            total += lanes[i];
                        }
                        sums[from - base] += total;
                    } else {
                        let sums = &mut sums[from - base..][..n];
                        for i in 0..n {
                            sums[i] += values[i].to_f64();
                        }
                    }
                },
            );
        },
    );
}

/// [`sum`] of what `values(start, run)` writes: runs of the result.
fn sums<T: Element>(g: &Broadcast, to: usize, out: &mut [T], values: &(dyn Fn(usize, &mut [T]) + Sync)) {
    assert_eq!(out.len(), g.sizes[to], "elements of the sum");
    if g.len == 0 {
        return out.fill(T::ZERO);
    }
    let add = |range: Range<usize>, base: usize, sums: &mut [f64]| {
        let mut buffer = [T::ZERO; PIECE];
        for start in range.clone().step_by(PIECE) {
            let piece = &mut buffer[..PIECE.min(range.end - start)];
            values(start, piece);
            add(g, to, start, piece, base, sums);
        }
    };
    let store = |sums: &[f64], out: &mut [T]| {
        out.iter_mut().zip(sums).for_each(|(o, s)| *o = T::from_f64(*s));
    };
    // Parts of the work: runs of the first axis. Where it is summed over and what is left is large, runs of the second.
    let first = g.extents[0];
    let slice = g.len / first;
    if g.strides[to][0] > 0 {
        let step = g.strides[to][0];
        let run = CHUNK.div_ceil(slice).min(first);
        for_chunks_of_work(out, run * step, g.len, |i, out| {
            let mut sums = vec![0.0; out.len()];
            let (from, count) = (i * run, out.len() / step);
            add(from * slice..(from + count) * slice, from * step, &mut sums);
            store(&sums, out);
        });
    } else if out.len() >= CHUNK {
        let (step, inner) = (g.strides[to][1], slice / g.extents[1]);
        let run = g.extents[1].div_ceil(16);
        for_chunks_of_work(out, run * step, g.len, |i, out| {
            let mut sums = vec![0.0; out.len()];
            let (from, count) = (i * run, out.len() / step);
            for outer in 0..first {
                let start = outer * slice + from * inner;
                add(start..start + count * inner, from * step, &mut sums);
            }
            store(&sums, out);
        });
    } else {
        let parts = first.min(g.len.div_ceil(CHUNK)).min(16);
        let run = first.div_ceil(parts);
        let slots: Vec<OnceLock<Vec<f64>>> = (0..first.div_ceil(run)).map(|_| OnceLock::new()).collect();
        for_parts(slots.len(), g.len, |i| {
            let mut sums = vec![0.0; out.len()];
            add(i * run * slice..((i + 1) * run).min(first) * slice, 0, &mut sums);
            let _ = slots[i].set(sums);
        });
        let mut total = vec![0.0; out.len()];
        for part in slots.into_iter().filter_map(OnceLock::into_inner) {
            total.iter_mut().zip(&part).for_each(|(t, p)| *t += p);
        }
        store(&total, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where element `i` of `y` lies in an array of shape `s`.
    fn place(y: Shape, s: Shape, i: usize) -> usize {
        let (mut rest, mut at, mut step) = (i, 0, 1);
        for axis in (0..y.rank()).rev() {
            let index = rest % y[axis];
            rest /= y[axis];
            if let Some(own) = (axis + s.rank()).checked_sub(y.rank()) {
                at += if s[own] == 1 { 0 } else { index * step };
                step *= s[own];
            }
        }
        at
    }

    #[test]
    fn values_and_sums_agree_with_naive_loops() {
        let rows: [(&[usize], &[usize]); 14] = [
            (&[3, 4], &[4]),
            (&[7, 2, 3, 5], &[5]),
            (&[7, 2, 3, 5], &[7, 1, 1, 5]),
            (&[7, 2, 3, 5], &[7, 1, 1, 1]),
            (&[7, 2, 3, 5], &[7, 2, 3, 1]),
            (&[7, 2, 3, 5], &[]),
            (&[2, 1, 3, 1], &[1, 4, 1, 5]),
            (&[1, 1], &[1]),
            (&[6, 40, 100], &[1, 40, 100]),
            (&[3, 40, 700], &[40, 1]),
            (&[5, 20_000], &[20_000]),
            (&[20_000, 2], &[1, 2]),
            (&[40_000], &[1]),
            (&[3, 0, 2], &[2]),
        ];
        for (a, b) in rows.map(|(a, b)| (Shape::new(a), Shape::new(b))) {
            let y = Broadcast::shape(a, b).unwrap();
            assert_eq!(Broadcast::shape(b, a), Some(y));
            let g = Broadcast::new(y, &[a, b]);
            let x =
                |s: Shape, k: usize| -> Vec<f64> { (0..s.len()).map(|i| ((i * k) % 1009) as f64).collect() };
            let (xa, xb, full) = (x(a, 7), x(b, 11), x(y, 13));
            let operands = [
                Operand::Part(0, &xa[..]),
                Operand::Part(1, &xb),
                Operand::Full(&full),
                Operand::Number(0.5),
            ];
            let f = |[a, b, c, d]: [f64; 4]| a - 2.0 * b + c * d;
            let want: Vec<f64> =
                (0..y.len()).map(|i| f([xa[place(y, a, i)], xb[place(y, b, i)], full[i], 0.5])).collect();
            let mut got = vec![f64::NAN; y.len()];
            map(&g, &mut got, operands, f);
            assert_eq!(got, want, "{a} {b}");
            for (part, shape) in [a, b].into_iter().enumerate() {
                let mut sums = vec![0.0; shape.len()];
                want.iter().enumerate().for_each(|(i, v)| sums[place(y, shape, i)] += v);
                let mut got = vec![f64::NAN; shape.len()];
                sum(&g, part, &mut got, operands, f);
                // Halves of whole numbers: exact in every order.
                assert_eq!(got, sums, "{a} {b} to {shape}");
            }
        }
        assert_eq!(Broadcast::shape(Shape::new(&[3, 2]), Shape::new(&[3])), None);
    }
}
