//! Moving elements: permuting axes, copying a stretch of one axis.

use crate::parallel::{CHUNK, for_chunks};
use crate::{Element, Shape};

/// `y = x` with axis `axes[i]` of x as axis i of y.
pub fn permute<T: Element>(x: &[T], shape: Shape, axes: &[usize], y: &mut [T]) {
    let rank = shape.rank();
    debug_assert_eq!(axes.len(), rank);
    let mut strides = [1usize; 8];
    (0..rank.saturating_sub(1)).rev().for_each(|i| strides[i] = strides[i + 1] * shape[i + 1]);
    // Trailing axes that stay where they are are copied as a whole.
    let fixed = (0..rank).rev().take_while(|&i| axes[i] == i).count();
    let moved = rank - fixed;
    let block: usize = (moved..rank).map(|i| shape[i]).product();
    let extent = |i: usize| shape[axes[i]];
    let Some(last) = moved.checked_sub(1) else { return y.copy_from_slice(x) };
    let (inner, stride) = (extent(last), strides[axes[last]]);
    // A part is one run over the last moved axis.
    for_chunks(y, (inner * block).max(1), |part, y| {
        let (mut rest, mut from) = (part, 0);
        for i in (0..last).rev() {
            from += rest % extent(i) * strides[axes[i]];
            rest /= extent(i);
        }
        if block == 1 {
            y.iter_mut().enumerate().for_each(|(j, y)| *y = x[from + j * stride]);
        } else {
            for (j, y) in y.chunks_exact_mut(block).enumerate() {
                y.copy_from_slice(&x[from + j * stride..][..block]);
            }
        }
    });
}

/// One axis of an array: how many runs lie before it, its extent, how many elements lie behind one of its entries.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    outer: usize,
    extent: usize,
    inner: usize,
}

impl Axis {
    /// Axis number `axis` of `shape`.
    pub fn new(shape: Shape, axis: usize) -> Self {
        let product = |d: &[usize]| d.iter().product();
        let dims = shape.dims();
        Axis { outer: product(&dims[..axis]), extent: dims[axis], inner: product(&dims[axis + 1..]) }
    }
}

/// Copies `count` entries of one axis, from entry `start` of `x` to entry `at` of `y`; the rest of y stays.
pub fn copy<T: Element>(x: &[T], from: Axis, start: usize, y: &mut [T], to: Axis, at: usize, count: usize) {
    let n = count * from.inner;
    debug_assert!(from.outer == to.outer && from.inner == to.inner);
    for outer in 0..from.outer {
        let x = &x[(outer * from.extent + start) * from.inner..][..n];
        y[(outer * to.extent + at) * to.inner..][..n].copy_from_slice(x);
    }
}

/// Entry j of one axis of `y` is entry `indices[j]` of `axis` of `x`.
pub fn take_entries<T: Element>(x: &[T], axis: Axis, indices: &[u32], y: &mut [T]) {
    let (count, inner) = (indices.len().max(1), axis.inner.max(1));
    let per_chunk = (CHUNK / inner).max(1);
    for_chunks(y, per_chunk * inner, |chunk, y| {
        let (mut outer, mut j) = (chunk * per_chunk / count, chunk * per_chunk % count);
        for entry in y.chunks_exact_mut(inner) {
            entry.copy_from_slice(&x[(outer * axis.extent + indices[j] as usize) * inner..][..inner]);
            j += 1;
            if j == count {
                (outer, j) = (outer + 1, 0);
            }
        }
    });
}

/// The adjoint of [`take_entries`]: entry i of `axis` of `x_bar` is the sum of the entries j of `y_bar` with `indices[j] = i`.
pub fn put_entries<T: Element>(y_bar: &[T], axis: Axis, indices: &[u32], x_bar: &mut [T]) {
    let (inner, count) = (axis.inner, indices.len());
    for_chunks(x_bar, (axis.extent * inner).max(1), |outer, x_bar| {
        x_bar.fill(T::ZERO);
        for (j, &i) in indices.iter().enumerate() {
            let from = &y_bar[(outer * count + j) * inner..][..inner];
            x_bar[i as usize * inner..][..inner].iter_mut().zip(from).for_each(|(x, y)| *x += *y);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permute_moves_every_element() {
        let shape = Shape::new(&[2, 3, 4, 5]);
        let x: Vec<f64> = (0..120).map(f64::from).collect();
        for axes in [[0, 1, 2, 3], [1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 1, 3], [0, 2, 3, 1]] {
            let mut y = vec![0.0; 120];
            permute(&x, shape, &axes, &mut y);
            for (i, v) in x.iter().enumerate() {
                let at = [i / 60, i / 20 % 3, i / 5 % 4, i % 5];
                let to = axes.iter().fold(0, |to, &a| to * shape[a] + at[a]);
                assert_eq!(y[to], *v, "{axes:?}");
            }
        }
    }

    #[test]
    fn entries_are_taken_and_put_back_where_they_came_from() {
        for dims in [[3, 4, 5], [1, 4, 30_000], [70, 4, 300]] {
            let (shape, indices) = (Shape::new(&dims), [2, 0, 2, 3, 2, 0]);
            let (axis, inner) = (Axis::new(shape, 1), dims[2]);
            let x: Vec<f64> = (0..shape.len()).map(|i| i as f64).collect();
            let mut y = vec![0.0; dims[0] * indices.len() * inner];
            take_entries(&x, axis, &indices, &mut y);
            let from = |i: usize| (i / inner / 6 * 4 + indices[i / inner % 6] as usize) * inner + i % inner;
            assert!(y.iter().enumerate().all(|(i, v)| *v == x[from(i)]), "{dims:?}");
            let mut want = vec![0.0; x.len()];
            y.iter().enumerate().for_each(|(i, v)| want[from(i)] += v);
            let mut got = vec![1.0; x.len()];
            put_entries(&y, axis, &indices, &mut got);
            assert_eq!(got, want);
        }
    }
}
