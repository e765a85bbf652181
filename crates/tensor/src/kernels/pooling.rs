//! Pooling over the windows of NHWC images, image by image in parallel: maxima and sums, and their adjoints.

use crate::Element;
use crate::kernels::isa::vectorized;
use crate::kernels::window::Window;
use crate::parallel::for_chunks_of_work;
use std::ops::Range;

/// Calls `f(output offset, input offset, tap)` for every window of one image and every tap inside it, window by window;
/// offsets are those of channel 0.
#[inline(always)]
fn each_tap(g: &Window, mut f: impl FnMut(usize, usize, usize)) {
    // The window's fields are read once: f writes, and the compiler would read them again behind it.
    let (oh, ow, g) = (g.oh(), g.ow(), *g);
    let (down, right) = (g.dilation[0] * g.w * g.c, g.dilation[1] * g.c);
    for oy in 0..oh {
        let (ky0, y0, rows) = g.taps(0, oy);
        for ox in 0..ow {
            let (kx0, x0, width) = g.taps(1, ox);
            let (output, mut line) = ((oy * ow + ox) * g.c, (y0 * g.w + x0) * g.c);
            for r in 0..rows {
                let (mut input, tap) = (line, (ky0 + r) * g.kw + kx0);
                for s in 0..width {
                    f(output, input, tap + s);
                    input += right;
                }
                line += down;
            }
        }
    }
}

/// Elements of an image of outputs.
fn outputs(g: &Window) -> usize {
    g.oh() * g.ow() * g.c
}

/// `f(n, image n of out)` for images of `size` elements, with vector instructions; `work` is the elements read for all.
fn each_image<T: Element>(
    (n, work): (usize, usize),
    out: &mut [T],
    size: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    assert_eq!(out.len(), n * size);
    for_chunks_of_work(out, size.max(1), work, |n, out| {
        vectorized::<T, _>(
            #[inline(always)]
            || f(n, out),
        )
    });
}

/// Images, and what the work on all windows is.
fn work(g: &Window) -> (usize, usize) {
    (g.n, g.positions() * g.patch())
}

/// Rectangles of NHWC images over which sums are taken: every stretch of rows with every stretch of columns.
#[derive(Debug, Clone)]
pub struct Rectangles {
    /// Images, their height, width and channels.
    pub images: [usize; 4],
    /// The rows of each row of outputs.
    pub rows: Vec<Range<usize>>,
    /// The columns of each column of outputs.
    pub cols: Vec<Range<usize>>,
}

impl Rectangles {
    /// The parts of a window's places that lie inside the image. Its taps lie side by side.
    pub fn of_window(g: &Window) -> Self {
        assert_eq!(g.dilation, [1; 2], "taps with gaps");
        let spans = |axis: usize, count: usize| {
            let span = |out: usize| {
                let (_, start, count) = g.taps(axis, out);
                start..start + count
            };
            (0..count).map(span).collect()
        };
        Rectangles { images: [g.n, g.h, g.w, g.c], rows: spans(0, g.oh()), cols: spans(1, g.ow()) }
    }

    /// `f(position, output offset, input offset)` for every rectangle of one image and every pixel of it, rectangle by rectangle.
    #[inline(always)]
    fn each_pixel(&self, mut f: impl FnMut(usize, usize, usize)) {
        let [_, _, w, c] = self.images;
        for (oy, rows) in self.rows.iter().enumerate() {
            for (ox, cols) in self.cols.iter().enumerate() {
                let position = oy * self.cols.len() + ox;
                for y in rows.clone() {
                    for x in cols.clone() {
                        f(position, position * c, (y * w + x) * c);
                    }
                }
            }
        }
    }

    /// Elements of an image, and of one of outputs.
    fn sizes(&self) -> (usize, usize) {
        let [_, h, w, c] = self.images;
        (h * w * c, self.rows.len() * self.cols.len() * c)
    }

    fn work(&self) -> (usize, usize) {
        let [n, _, _, c] = self.images;
        let total = |spans: &[Range<usize>]| spans.iter().map(Range::len).sum::<usize>();
        (n, n * total(&self.rows) * total(&self.cols) * c)
    }
}

/// The number of the tap, in its window, that holds the maximum of every output: the first of equal ones. NaN counts as larger than
/// all, so that it stays visible. Every window holds an element of the image.
pub fn max_taps<T: Element>(g: &Window, x: &[T], taps: &mut [T]) {
    /// Channels at a time: their maxima stay in registers.
    const LANES: usize = 16;
    assert_eq!(x.len(), g.n * g.image());
    each_image(
        work(g),
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
        work(g),
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
        work(g),
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

/// `y[o] = scale · Σ x` over the rectangle of o; there is a scale for every position of outputs.
pub fn sum_rectangles<T: Element>(g: &Rectangles, scales: &[T], x: &[T], y: &mut [T]) {
    let ((image, size), c) = (g.sizes(), g.images[3]);
    assert_eq!(x.len(), g.images[0] * image);
    each_image(
        g.work(),
        y,
        size,
        #[inline(always)]
        |n, y| {
            y.fill(T::ZERO);
            let x = &x[n * image..][..image];
            g.each_pixel(
                #[inline(always)]
                |p, o, i| add_scaled(&mut y[o..][..c], &x[i..][..c], scales[p]),
            );
        },
    );
}

/// `x̄[i] = Σ scale · ȳ` over the rectangles that hold i: the adjoint of [`sum_rectangles`].
pub fn spread_rectangles<T: Element>(g: &Rectangles, scales: &[T], y_bar: &[T], x_bar: &mut [T]) {
    let ((image, size), c) = (g.sizes(), g.images[3]);
    assert_eq!(y_bar.len(), g.images[0] * size);
    each_image(
        g.work(),
        x_bar,
        image,
        #[inline(always)]
        |n, x_bar| {
            x_bar.fill(T::ZERO);
            let y_bar = &y_bar[n * size..][..size];
            g.each_pixel(
                #[inline(always)]
                |p, o, i| add_scaled(&mut x_bar[i..][..c], &y_bar[o..][..c], scales[p]),
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
        let window = Window::square([2, 2, 2, 1], [2; 2], 2, 0);
        let x = [1.0, 3.0, 3.0, 2.0, 5.0, f64::NAN, 7.0, 1.0];
        let (mut taps, mut y) = ([9.0; 2], [0.0; 2]);
        max_taps(&window, &x, &mut taps);
        assert_eq!(taps, [1.0, 1.0]);
        take_taps(&window, &taps, &x, &mut y);
        assert!(y[0] == 3.0 && y[1].is_nan());
    }

    #[test]
    fn maxima_and_sums_agree_with_naive_loops_also_in_padding_and_overlap() {
        let square = |h, w, c, kernel, stride, pad| Window::square([3, h, w, c], [kernel; 2], stride, pad);
        let uneven = |g: Window| Window { stride: [1, 3], pad: [1, 2], extra: [0, 1], ..g };
        for g in [
            square(5, 7, 19, 3, 2, 1),
            square(4, 4, 3, 2, 2, 0),
            square(6, 5, 33, 3, 1, 1),
            square(7, 7, 1, 4, 3, 2),
            uneven(Window::square([3, 6, 5, 4], [2, 5], 1, 0)),
            Window { dilation: [2, 1], ..uneven(Window::square([3, 6, 5, 4], [2, 4], 1, 0)) },
        ] {
            let x: Vec<f64> = (0..g.n * g.image()).map(|i| ((i * 7919) % 1009) as f64 - 500.0).collect();
            let mut sums = vec![0.0; g.n * super::outputs(&g)];
            let (mut taps, mut y) = (sums.clone(), sums.clone());
            max_taps(&g, &x, &mut taps);
            take_taps(&g, &taps, &x, &mut y);
            let dense = g.dilation == [1; 2];
            if dense {
                let scales: Vec<f64> = (0..g.oh() * g.ow()).map(|p| 0.5 + p as f64).collect();
                sum_rectangles(&Rectangles::of_window(&g), &scales, &x, &mut sums);
            }
            for (o, (largest, sum)) in y.iter().zip(&sums).enumerate() {
                let (position, channel) = (o / g.c, o % g.c);
                let (n, oy, ox) = g.locate(position);
                let at = |axis: usize, out: usize, tap: usize| {
                    (out * g.stride[axis] + tap * g.dilation[axis]).wrapping_sub(g.pad[axis])
                };
                let inside: Vec<f64> = (0..g.kh * g.kw)
                    .map(|t| (at(0, oy, t / g.kw), at(1, ox, t % g.kw)))
                    .filter(|&(y, x)| y < g.h && x < g.w)
                    .map(|(y, col)| x[((n * g.h + y) * g.w + col) * g.c + channel])
                    .collect();
                assert_eq!(*largest, inside.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                let scale = 0.5 + (position % (g.oh() * g.ow())) as f64;
                assert!(!dense || *sum == scale * inside.iter().sum::<f64>(), "{g:?}");
            }
        }
    }
}
