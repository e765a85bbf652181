//! Pooling over the windows of NHWC images, image by image in parallel: maxima and sums, and their adjoints.

use crate::Element;
use crate::kernels::window::Window;
use crate::parallel::{for_chunks_of_work, vectorized};

/// Calls `f(output offset, input offset, tap)` for every window of one image and every tap inside it, window by window;
/// offsets are those of channel 0.
#[inline(always)]
fn each_tap(g: &Window, mut f: impl FnMut(usize, usize, usize)) {
    for oy in 0..g.oh() {
        let (ky0, y0, rows) = g.taps(oy, g.h, g.kh);
        for ox in 0..g.ow() {
            let (kx0, x0, width) = g.taps(ox, g.w, g.kw);
            for r in 0..rows {
                for s in 0..width {
                    let input = ((y0 + r) * g.w + x0 + s) * g.c;
                    f((oy * g.ow() + ox) * g.c, input, (ky0 + r) * g.kw + kx0 + s);
                }
            }
        }
    }
}

/// Elements of an image of outputs.
fn outputs(g: &Window) -> usize {
    g.oh() * g.ow() * g.c
}

/// `f(n, image n of out)` for images of `size` elements, with vector instructions.
fn each_image<T: Element>(g: &Window, out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    assert_eq!(out.len(), g.n * size);
    for_chunks_of_work(out, size.max(1), g.positions() * g.patch(), |n, out| {
        vectorized(
            #[inline(always)]
            || f(n, out),
        )
    });
}

/// The number of the tap, in its window, that holds the maximum of every output: the first of equal ones. NaN counts as larger than
/// all, so that it stays visible. Every window holds an element of the image.
pub fn max_taps<T: Element>(g: &Window, x: &[T], taps: &mut [T]) {
    /// Channels at a time: their maxima stay in registers.
    const LANES: usize = 16;
    assert_eq!(x.len(), g.n * g.image());
    each_image(
        g,
        taps,
        outputs(g),
        #[inline(always)]
        |n, taps| {
            let x = &x[n * g.image()..][..g.image()];
            for first in (0..g.c).step_by(LANES) {
                let lanes = LANES.min(g.c - first);
                let (mut window, mut largest, mut winner) = (usize::MAX, [T::ZERO; LANES], [T::ZERO; LANES]);
                each_tap(
                    g,
                    #[inline(always)]
                    |o, i, tap| {
                        let new = o != window;
                        window = o;
                        let tap = T::from_f64(tap as f64);
                        let (x, taps) = (&x[i + first..][..lanes], &mut taps[o + first..][..lanes]);
                        for c in 0..lanes {
                            // The last is true for NaN alone.
                            let wins = new | (x[c] > largest[c]) | x[c].partial_cmp(&x[c]).is_none();
                            largest[c] = if wins { x[c] } else { largest[c] };
                            winner[c] = if wins { tap } else { winner[c] };
                            taps[c] = winner[c];
                        }
                    },
                );
            }
        },
    );
}

/// `y[o] = x` at the tap of o.
pub fn take_taps<T: Element>(g: &Window, taps: &[T], x: &[T], y: &mut [T]) {
    assert!(x.len() == g.n * g.image() && taps.len() == y.len());
    each_image(
        g,
        y,
        outputs(g),
        #[inline(always)]
        |n, y| {
            let (x, taps) = (&x[n * g.image()..][..g.image()], &taps[n * y.len()..][..y.len()]);
            each_tap(
                g,
                #[inline(always)]
                |o, i, tap| {
                    let tap = T::from_f64(tap as f64);
                    let (x, taps, y) = (&x[i..][..g.c], &taps[o..][..g.c], &mut y[o..][..g.c]);
                    for c in 0..g.c {
                        y[c] = if taps[c] == tap { x[c] } else { y[c] };
                    }
                },
            );
        },
    );
}

/// `x̄[i] = Σ ȳ[o]` over the outputs o whose tap is i: the adjoint of [`take_taps`].
pub fn put_taps<T: Element>(g: &Window, taps: &[T], y_bar: &[T], x_bar: &mut [T]) {
    let size = outputs(g);
    assert!(y_bar.len() == g.n * size && taps.len() == y_bar.len());
    each_image(
        g,
        x_bar,
        g.image(),
        #[inline(always)]
        |n, x_bar| {
            x_bar.fill(T::ZERO);
            let (y_bar, taps) = (&y_bar[n * size..][..size], &taps[n * size..][..size]);
            each_tap(
                g,
                #[inline(always)]
                |o, i, tap| {
                    let tap = T::from_f64(tap as f64);
                    let (y_bar, taps, x_bar) =
                        (&y_bar[o..][..g.c], &taps[o..][..g.c], &mut x_bar[i..][..g.c]);
                    for c in 0..g.c {
                        x_bar[c] += if taps[c] == tap { y_bar[c] } else { T::ZERO };
                    }
                },
            );
        },
    );
}

/// `y[o] = scale · Σ x` over the taps of o that lie inside the image.
pub fn sum_taps<T: Element>(g: &Window, scale: T, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), g.n * g.image());
    each_image(
        g,
        y,
        outputs(g),
        #[inline(always)]
        |n, y| {
            y.fill(T::ZERO);
            let x = &x[n * g.image()..][..g.image()];
            each_tap(
                g,
                #[inline(always)]
                |o, i, _| add_scaled(&mut y[o..][..g.c], &x[i..][..g.c], scale),
            );
        },
    );
}

/// `x̄[i] = scale · Σ ȳ` over the windows that hold i: the adjoint of [`sum_taps`].
pub fn spread_taps<T: Element>(g: &Window, scale: T, y_bar: &[T], x_bar: &mut [T]) {
    let size = outputs(g);
    assert_eq!(y_bar.len(), g.n * size);
    each_image(
        g,
        x_bar,
        g.image(),
        #[inline(always)]
        |n, x_bar| {
            x_bar.fill(T::ZERO);
            let y_bar = &y_bar[n * size..][..size];
            each_tap(
                g,
                #[inline(always)]
                |o, i, _| add_scaled(&mut x_bar[i..][..g.c], &y_bar[o..][..g.c], scale),
            );
        },
    );
}

#[inline(always)]
fn add_scaled<T: Element>(sum: &mut [T], a: &[T], scale: T) {
    for i in 0..sum.len() {
        sum[i] += a[i] * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_elements_wins_and_nan_before_all() {
        let window = Window { n: 2, h: 2, w: 2, c: 1, kh: 2, kw: 2, stride: 2, pad: 0 };
        let x = [1.0, 3.0, 3.0, 2.0, 5.0, f64::NAN, 7.0, 1.0];
        let (mut taps, mut y) = ([9.0; 2], [0.0; 2]);
        max_taps(&window, &x, &mut taps);
        assert_eq!(taps, [1.0, 1.0]);
        take_taps(&window, &taps, &x, &mut y);
        assert!(y[0] == 3.0 && y[1].is_nan());
    }

    #[test]
    fn maxima_and_sums_agree_with_naive_loops_also_in_padding_and_overlap() {
        for (h, w, c, kernel, stride, pad) in
            [(5, 7, 19, 3, 2, 1), (4, 4, 3, 2, 2, 0), (6, 5, 33, 3, 1, 1), (7, 7, 1, 4, 3, 2)]
        {
            let g = Window { n: 3, h, w, c, kh: kernel, kw: kernel, stride, pad };
            let x: Vec<f64> = (0..g.n * g.image()).map(|i| ((i * 7919) % 1009) as f64 - 500.0).collect();
            let mut outputs = vec![0.0; g.n * super::outputs(&g)];
            let (mut taps, mut y) = (outputs.clone(), outputs.clone());
            max_taps(&g, &x, &mut taps);
            take_taps(&g, &taps, &x, &mut y);
            sum_taps(&g, 0.5, &x, &mut outputs);
            for (o, (largest, sum)) in y.iter().zip(&outputs).enumerate() {
                let (position, channel) = (o / c, o % c);
                let (n, oy, ox) = g.locate(position);
                let inside: Vec<f64> = (0..kernel * kernel)
                    .map(|t| (oy * stride + t / kernel, ox * stride + t % kernel))
                    .filter(|&(y, x)| y >= pad && x >= pad && y - pad < h && x - pad < w)
                    .map(|(y, col)| x[((n * h + y - pad) * w + col - pad) * c + channel])
                    .collect();
                assert_eq!(*largest, inside.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                assert_eq!(*sum, 0.5 * inside.iter().sum::<f64>());
            }
        }
    }
}
