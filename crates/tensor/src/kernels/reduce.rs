//! Per-channel reductions over all other axes, with partial sums of fixed extent combined in order in f64.

use crate::Element;
use crate::kernels::isa::vectorized;
use crate::parallel::{CHUNK, for_parts};
use std::array::from_fn;
use std::sync::OnceLock;

/// Elements that loops take at a time: a constant, so that the compiler makes them vectors. One AVX-512 register of f32.
pub(crate) const BLOCK: usize = 16;

/// Keeps the compiler from vectorizing a loop over blocks, which are vectors already. It would gather one element of several blocks at a
/// time from memory, at a fourth of the speed.
#[inline(always)]
pub(crate) fn by_blocks() {
    std::hint::black_box(());
}

/// Rows of few channels are taken several at a time: whole blocks, and enough of them.
pub(crate) struct Lanes {
    channels: usize,
    copies: usize,
}

impl Lanes {
    pub(crate) fn new(channels: usize) -> Self {
        let channels = channels.max(1);
        // The fewest copies that make whole blocks: channels·copies is a multiple of BLOCK, a power of two.
        let whole = BLOCK >> channels.trailing_zeros().min(BLOCK.trailing_zeros());
        Lanes { channels, copies: whole * (256 / (channels * whole)).max(1) }
    }

    pub(crate) fn width(&self) -> usize {
        self.channels * self.copies
    }

    pub(crate) fn replicate<T: Element>(&self, k: &[T]) -> Vec<T> {
        k.iter().copied().cycle().take(self.width()).collect()
    }

    fn fold<T: Element>(&self, wide: &[T]) -> Vec<f64> {
        (0..self.channels)
            .map(|c| wide[c..].iter().step_by(self.channels).map(|v| v.to_f64()).sum())
            .collect()
    }
}

/// `Σ_r f([x₀[r, c], …], [k₀[c], …])` for every channel c: `S` sums at once over arrays of rows of `channels` elements.
///
/// Products inside `f` and up to a few hundred additions are in `T`; the rest is summed in f64.
pub fn channel_sums<T: Element, const A: usize, const B: usize, const S: usize>(
    x: [&[T]; A],
    k: [&[T]; B],
    channels: usize,
    f: impl Fn([T; A], [T; B]) -> [T; S] + Sync,
) -> [Vec<f64>; S] {
    let len = x[0].len();
    assert!(
        x.iter().all(|x| x.len() == len)
            && k.iter().all(|k| k.len() == channels)
            && len.is_multiple_of(channels)
    );
    let lanes = Lanes::new(channels);
    let width = lanes.width();
    let k = k.map(|k| lanes.replicate(k));
    let parts = by_parts(len, width, |start, end| {
        let x = x.map(|x| &x[start..end]);
        let mut sums: [Vec<T>; S] = from_fn(|_| vec![T::ZERO; width]);
        vectorized::<T, _>(
            #[inline(always)]
            || {
                let mut sums = sums.each_mut().map(|s| &mut s[..]);
                for row in 0..(end - start).div_ceil(width) {
                    let n = width.min(end - start - row * width);
                    let x: [&[T]; A] = from_fn(|a| &x[a][row * width..][..n]);
                    let k: [&[T]; B] = from_fn(|b| &k[b][..n]);
                    let (x16, k16) = (x.map(|x| x.as_chunks().0), k.map(|k| k.as_chunks().0));
                    let sums16 = sums.each_mut().map(|s| s.as_chunks_mut::<BLOCK>().0);
                    for i in 0..n / BLOCK {
                        by_blocks();
                        let x: [[T; BLOCK]; A] = from_fn(|a| x16[a][i]);
                        let k: [[T; BLOCK]; B] = from_fn(|b| k16[b][i]);
                        let mut total: [[T; BLOCK]; S] = from_fn(|s| sums16[s][i]);
                        for lane in 0..BLOCK {
                            let terms = f(from_fn(|a| x[a][lane]), from_fn(|b| k[b][lane]));
                            for s in 0..S {
                                total[s][lane] += terms[s];
                            }
                        }
                        for s in 0..S {
                            sums16[s][i] = total[s];
                        }
                    }
                    for i in n / BLOCK * BLOCK..n {
                        let terms = f(from_fn(|a| x[a][i]), from_fn(|b| k[b][i]));
                        for s in 0..S {
                            sums[s][i] += terms[s];
                        }
                    }
                }
            },
        );
        sums.map(|s| lanes.fold(&s))
    });
    let mut total: [Vec<f64>; S] = from_fn(|_| vec![0.0; channels]);
    for part in parts {
        for (total, part) in total.iter_mut().zip(&part) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
    }
    total
}

/// Mean and biased variance of every channel (docs/algorithm.md §2; seed eq. 1), in one pass over memory.
///
/// Each part takes its own mean first and squares about it while it is still in cache; parts are merged by
/// Chan's formula, so a large mean costs no precision.
pub fn channel_moments<T: Element>(x: &[T], channels: usize) -> (Vec<f64>, Vec<f64>) {
    assert!(x.len().is_multiple_of(channels) && !x.is_empty());
    let lanes = Lanes::new(channels);
    let width = lanes.width();
    let parts = by_parts(x.len(), width, |start, end| {
        let x = &x[start..end];
        let count = (x.len() / channels) as f64;
        let mut wide = vec![T::ZERO; width];
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for row in x.chunks(width) {
                    wide.iter_mut().zip(row).for_each(|(s, x)| *s += *x);
                }
            },
        );
        let mean: Vec<f64> = lanes.fold(&wide).iter().map(|s| s / count).collect();
        let mean_t: Vec<T> = mean.iter().map(|m| T::from_f64(*m)).collect();
        let shift = lanes.replicate(&mean_t);
        // Σ(x−k)² = M₂ + n(m−k)² and Σ(x−k) = n(m−k), for the rounded k and the true mean m of the part.
        let (mut first, mut second) = (vec![T::ZERO; width], vec![T::ZERO; width]);
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for row in x.chunks(width) {
                    let sums = first.iter_mut().zip(&mut second);
                    for ((first, second), (x, shift)) in sums.zip(row.iter().zip(&shift)) {
                        let d = *x - *shift;
                        *first += d;
                        *second += d * d;
                    }
                }
            },
        );
        let (first, second) = (lanes.fold(&first), lanes.fold(&second));
        let mean: Vec<f64> = (0..channels).map(|c| mean_t[c].to_f64() + first[c] / count).collect();
        let m2: Vec<f64> = (0..channels).map(|c| second[c] - first[c] * first[c] / count).collect();
        (count, mean, m2)
    });
    let (mut n, mut mean, mut m2) = (0.0, vec![0.0; channels], vec![0.0; channels]);
    for (count, part_mean, part_m2) in parts {
        let total = n + count;
        for c in 0..channels {
            let d = part_mean[c] - mean[c];
            mean[c] += d * (count / total);
            m2[c] += part_m2[c] + d * d * (n * count / total);
        }
        n = total;
    }
    let var = m2.iter().map(|m| (m / n).max(0.0)).collect();
    (mean, var)
}

/// Runs `f(start, end)` over fixed parts of `len` elements, each a multiple of `width` but the last, and returns the
/// results in order.
fn by_parts<R: Send + Sync>(len: usize, width: usize, f: impl Fn(usize, usize) -> R + Sync) -> Vec<R> {
    let size = (CHUNK / width).max(1) * width;
    let parts = len.div_ceil(size);
    let slots: Vec<OnceLock<R>> = (0..parts).map(|_| OnceLock::new()).collect();
    for_parts(parts, len, |i| {
        let _ = slots[i].set(f(i * size, ((i + 1) * size).min(len)));
    });
    slots.into_iter().filter_map(OnceLock::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: usize, channels: usize, offset: f64) -> Vec<f32> {
        let mut r = crate::Rng::new(3, "sample", rows as u64, channels as u64);
        (0..rows * channels).map(|_| (r.normal() + offset) as f32).collect()
    }

    #[test]
    fn moments_survive_a_large_mean() {
        for (rows, channels) in [(5000, 16), (301, 7), (64, 200), (2, 1)] {
            let x = sample(rows, channels, 1000.0);
            let (mean, var) = channel_moments(&x, channels);
            for c in 0..channels {
                let column: Vec<f64> = x[c..].iter().step_by(channels).map(|v| *v as f64).collect();
                let m = column.iter().sum::<f64>() / rows as f64;
                let v = column.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / rows as f64;
                assert!((mean[c] - m).abs() < 1e-9 * m.abs(), "{rows}×{channels}: {} {m}", mean[c]);
                assert!((var[c] - v).abs() <= 1e-4 * v, "{rows}×{channels}: {} {v}", var[c]);
            }
        }
    }

    #[test]
    fn sums_agree_with_a_naive_loop() {
        for (rows, channels) in [(5000, 16), (301, 7), (64, 200)] {
            let (a, b) = (sample(rows, channels, 0.0), sample(rows, channels, 0.1));
            let k: Vec<f32> = (0..channels).map(|c| c as f32).collect();
            let [got, count] = channel_sums([&a, &b], [&k], channels, |[a, b], [k]| [a * b + k, 1.0]);
            for c in 0..channels {
                let want: f64 = (0..rows)
                    .map(|r| a[r * channels + c] as f64 * b[r * channels + c] as f64 + c as f64)
                    .sum();
                assert!((got[c] - want).abs() < 1e-5 * (rows as f64) * (1.0 + c as f64), "{} {want}", got[c]);
                assert_eq!(count[c], rows as f64);
            }
        }
    }
}
