//! Moving elements: permuting axes, copying a stretch of one axis.

use crate::parallel::for_chunks;
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
}
