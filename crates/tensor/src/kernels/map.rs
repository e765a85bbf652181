//! Element-wise loops, vectorized for the CPU at hand.

// Loops go by index: adapters of iterators are functions, which are not always inlined, and then compiled for the oldest CPU.
#![allow(clippy::needless_range_loop)]

use crate::kernels::dot::dot_with;
use crate::kernels::isa::vectorized;
use crate::kernels::reduce::{BLOCK, Lanes, by_blocks};
use crate::parallel::{CHUNK, for_chunks, for_chunks_of_work, for_chunks_with_scratch, for_parts};
use crate::{Element, Pool};
use std::array::from_fn;
use std::sync::atomic::{AtomicBool, Ordering};

/// `out[i] = f(a[i])`.
pub fn unary<T: Element>(out: &mut [T], a: &[T], f: impl Fn(T) -> T + Sync) {
    assert_eq!(out.len(), a.len());
    for_chunks(out, CHUNK, |i, out| {
        let n = out.len();
        let a = &a[i * CHUNK..][..n];
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for i in 0..n {
                    out[i] = f(a[i]);
                }
            },
        );
    });
}

/// `out[i] = f(a[i], b[i])`.
pub fn binary<T: Element>(out: &mut [T], a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) {
    assert!(out.len() == a.len() && a.len() == b.len());
    for_chunks(out, CHUNK, |i, out| {
        let n = out.len();
        let (a, b) = (&a[i * CHUNK..][..n], &b[i * CHUNK..][..n]);
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for i in 0..n {
                    out[i] = f(a[i], b[i]);
                }
            },
        );
    });
}

/// `out[i] = f(out[i], a[i])`.
pub fn update<T: Element>(out: &mut [T], a: &[T], f: impl Fn(T, T) -> T + Sync) {
    assert_eq!(out.len(), a.len());
    for_chunks(out, CHUNK, |i, out| {
        let n = out.len();
        let a = &a[i * CHUNK..][..n];
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for i in 0..n {
                    out[i] = f(out[i], a[i]);
                }
            },
        );
    });
}

/// True when every `factor·a[i]` is finite.
pub fn finite_times<T: Element>(a: &[T], factor: T) -> bool {
    let finite = AtomicBool::new(true);
    for_parts(a.len().div_ceil(CHUNK), a.len(), |i| {
        let a = &a[i * CHUNK..a.len().min((i + 1) * CHUNK)];
        // As in [`all_finite`].
        let sum = vectorized::<T, _>(
            #[inline(always)]
            || dot_with(a, a, |v, _| (factor * v).abs()),
        );
        if !sum.is_finite() && !a.iter().all(|v| (factor * *v).is_finite()) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// `out[i] += a[i]` on the calling thread.
pub(crate) fn add_serial<T: Element>(out: &mut [T], a: &[T]) {
    assert_eq!(out.len(), a.len());
    vectorized::<T, _>(
        #[inline(always)]
        || {
            for i in 0..out.len() {
                out[i] += a[i];
            }
        },
    );
}

/// `out[r, c] = f([x₀[r, c], …], [k₀[c], …])` on rows of `channels` elements: `x` are full arrays, `k`
/// per-channel coefficients.
pub fn per_channel<T: Element, const A: usize, const B: usize>(
    out: &mut [T],
    x: [&[T]; A],
    k: [&[T]; B],
    channels: usize,
    f: impl Fn([T; A], [T; B]) -> T + Sync,
) {
    assert!(x.iter().all(|x| x.len() == out.len()) && k.iter().all(|k| k.len() == channels));
    let lanes = Lanes::new(channels);
    let k = k.map(|k| lanes.replicate(k));
    let width = lanes.width();
    let chunk = (CHUNK / width).max(1) * width;
    for_chunks(out, chunk, |i, out| {
        let x = x.map(|x| &x[i * chunk..][..out.len()]);
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for (row, out) in out.chunks_mut(width).enumerate() {
                    let n = out.len();
                    let x: [&[T]; A] = from_fn(|a| &x[a][row * width..][..n]);
                    let k: [&[T]; B] = from_fn(|b| &k[b][..n]);
                    let (x16, k16) = (x.map(|x| x.as_chunks().0), k.map(|k| k.as_chunks().0));
                    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                        by_blocks();
                        let x: [[T; BLOCK]; A] = from_fn(|a| x16[a][i]);
                        let k: [[T; BLOCK]; B] = from_fn(|b| k16[b][i]);
                        let mut result = [T::ZERO; BLOCK];
                        for lane in 0..BLOCK {
                            result[lane] = f(from_fn(|a| x[a][lane]), from_fn(|b| k[b][lane]));
                        }
                        *out = result;
                    }
                    for i in n / BLOCK * BLOCK..n {
                        out[i] = f(from_fn(|a| x[a][i]), from_fn(|b| k[b][i]));
                    }
                }
            },
        );
    });
}

/// `out[i] = f([x₀[i], …])`.
pub fn zip<T: Element, const A: usize>(out: &mut [T], x: [&[T]; A], f: impl Fn([T; A]) -> T + Sync) {
    per_channel(out, x, [], 1, |x, []| f(x));
}

/// `f(r, [row r of x₀, …], row r of out)` for every row of `width` elements.
pub fn rows<T: Element, const A: usize>(
    out: &mut [T],
    x: [&[T]; A],
    width: usize,
    f: impl Fn(usize, [&[T]; A], &mut [T]) + Sync,
) {
    assert!(x.iter().all(|x| x.len() == out.len()));
    let width = width.max(1);
    let per_chunk = (CHUNK / width).max(1);
    for_chunks(out, per_chunk * width, |i, out| {
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for (r, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = i * per_chunk + r;
                    f(row, from_fn(|a| &x[a][row * width..(row + 1) * width]), out);
                }
            },
        );
    });
}

/// `out[r] = f(row r of x)` for every row of `width` elements.
pub fn row_values<T: Element>(out: &mut [T], x: &[T], width: usize, f: impl Fn(&[T]) -> T + Sync) {
    assert_eq!(x.len(), out.len() * width);
    let per_chunk = (CHUNK / width.max(1)).max(1);
    for_chunks_of_work(out, per_chunk, x.len(), |i, out| {
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for (r, out) in out.iter_mut().enumerate() {
                    let from = (i * per_chunk + r) * width;
                    *out = f(&x[from..from + width]);
                }
            },
        );
    });
}

/// The largest element. A NaN in the first place is the answer; elsewhere NaN does not count.
#[inline(always)]
pub fn largest<T: Element>(a: &[T]) -> T {
    let mut lanes = [a[0]; BLOCK];
    let (blocks, rest) = a.as_chunks::<BLOCK>();
    for block in blocks {
        for i in 0..BLOCK {
            lanes[i] = lanes[i].max(block[i]);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(a[0], T::max)
}

/// `f(i, part i of out, scratch)` for parts of `size` elements, one a sample; `work` is the multiply-adds of all, `scratch` the stale
/// elements that each gets beside.
pub fn each_sample<T: Element>(
    out: &mut [T],
    size: usize,
    work: usize,
    pool: &Pool<T>,
    scratch: usize,
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    for_chunks_with_scratch(out, size.max(1), work, pool, scratch, f);
}

/// [`each_sample`] of several arrays at once, each with its own size of a sample; one that is empty has empty parts.
pub fn each_sample_of<T: Element, const N: usize>(
    outs: [&mut [T]; N],
    samples: usize,
    work: usize,
    pool: &Pool<T>,
    scratch: usize,
    f: impl Fn(usize, [&mut [T]; N], &mut [T]) + Sync,
) {
    let sizes = outs.each_ref().map(|out| out.len() / samples.max(1));
    let mut rest = outs;
    let mut parts: Vec<[&mut [T]; N]> = (0..samples)
        .map(|_| {
            from_fn(|i| {
                let (part, after) = std::mem::take(&mut rest[i]).split_at_mut(sizes[i]);
                rest[i] = after;
                part
            })
        })
        .collect();
    for_chunks_with_scratch(&mut parts, 1, work, pool, scratch, |i, parts, scratch| {
        for part in parts {
            f(i, part.each_mut().map(|part| &mut **part), scratch);
        }
    });
}

/// `f([row of x₀, …], row of out)` for every row of `width` elements, on the calling thread.
#[inline(always)]
pub fn each_row<T: Element, const A: usize>(
    out: &mut [T],
    x: [&[T]; A],
    width: usize,
    f: impl Fn([&[T]; A], &mut [T]),
) {
    vectorized::<T, _>(
        #[inline(always)]
        || {
            for (r, out) in out.chunks_exact_mut(width).enumerate() {
                f(from_fn(|a| &x[a][r * width..][..width]), out);
            }
        },
    );
}

/// True when every element is finite.
pub fn all_finite<T: Element>(a: &[T]) -> bool {
    // A sum is finite only if every term is (NaN and ∞ spread), but may overflow: look closer only then.
    vectorized::<T, _>(
        #[inline(always)]
        || dot_with(a, a, |v, _| v.abs()),
    )
    .is_finite()
        || a.iter().all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_channel_coefficients_follow_their_channel() {
        for (rows, channels) in [(7, 3), (2000, 16), (33, 100), (5, 1)] {
            let x: Vec<f64> = (0..rows * channels).map(|i| i as f64).collect();
            let k: Vec<f64> = (0..channels).map(|c| 1000.0 * c as f64).collect();
            let mut out = vec![0.0; x.len()];
            per_channel(&mut out, [&x], [&k], channels, |[x], [k]| x + k);
            assert!(out.iter().enumerate().all(|(i, o)| *o == i as f64 + 1000.0 * (i % channels) as f64));
        }
    }

    #[test]
    fn the_largest_is_found_beside_nan() {
        for len in [1, 15, 16, 17, 40] {
            for at in 0..len {
                let mut a: Vec<f32> = (0..len).map(|i| 1.0 - i as f32).collect();
                a[at] = 5.0;
                assert_eq!(largest(&a), 5.0, "{len} {at}");
                a[at] = f32::NAN;
                let found = largest(&a);
                assert!(if at == 0 { found.is_nan() } else { found == 1.0 }, "{len} {at}: {found}");
            }
        }
    }

    /// Every loop beyond its first part: the second begins where it should.
    #[test]
    fn parts_take_their_own_elements() {
        let n = 2 * CHUNK + 5;
        let (a, b): (Vec<f64>, Vec<f64>) = (0..n).map(|i| (i as f64, (i * i % 1001) as f64)).unzip();
        let mut out = vec![0.0; n];
        let same = |out: &[f64], f: &dyn Fn(usize) -> f64| out.iter().enumerate().all(|(i, o)| *o == f(i));
        unary(&mut out, &a, |a| 2.0 * a);
        assert!(same(&out, &|i| 2.0 * a[i]));
        binary(&mut out, &a, &b, |a, b| a - b);
        assert!(same(&out, &|i| a[i] - b[i]));
        update(&mut out, &a, |o, a| o + a);
        assert!(same(&out, &|i| 2.0 * a[i] - b[i]));
        zip(&mut out, [&a, &b], |[a, b]| a + 3.0 * b);
        assert!(same(&out, &|i| a[i] + 3.0 * b[i]));
        let width = 100;
        let whole = n / width * width;
        rows(&mut out[..whole], [&a[..whole]], width, |r, [a], out| {
            out.iter_mut().zip(a).for_each(|(o, a)| *o = a + r as f64);
        });
        assert!(same(&out[..whole], &|i| a[i] + (i / width) as f64));
        let mut sums = vec![0.0; n / width];
        row_values(&mut sums, &a[..whole], width, |row| row.iter().sum());
        assert!(same(&sums, &|r| (0..width).map(|c| a[r * width + c]).sum()));
    }

    #[test]
    fn a_product_that_overflows_is_found_wherever_it_stands() {
        for len in [1, 16, 17, 2 * CHUNK + 5] {
            let mut a = vec![1e30f32; len];
            assert!(finite_times(&a, 2.0) && finite_times(&a, -0.5), "{len}");
            for at in [0, len / 2, len - 1] {
                a[at] = 3e38;
                assert!(finite_times(&a, -1.0) && !finite_times(&a, -2.0), "{len} {at}");
                a[at] = f32::NAN;
                assert!(!finite_times(&a, 0.5), "{len} {at}");
                a[at] = 1e30;
            }
            // The largest f32 sixteen times over: the sum overflows, no product does.
            assert!(finite_times(&vec![f32::MAX; len], 1.0), "{len}");
        }
    }

    #[test]
    fn finiteness_is_not_fooled_by_an_overflowing_sum() {
        assert!(all_finite(&[f32::MAX, f32::MAX, -1.0]));
        assert!(!all_finite(&[0.0, f32::NAN]));
        assert!(!all_finite(&[f64::INFINITY, f64::NEG_INFINITY]));
    }
}
