//! Convolutions in groups: loops over channels where every channel is a group (depthwise), else group by group through the kernels
//! for one.

use super::{Conv, ConvKernels};
use crate::kernels::choice::KernelChoice;
use crate::kernels::isa::vectorized;
use crate::kernels::layout::{Axis, copy};
use crate::kernels::map;
use crate::kernels::window::Window;
use crate::parallel::{by_samples, for_chunks_of_work};
use crate::{Array, Element, Pool, Shape};

/// Loops over channels, for every CPU.
pub(in crate::kernels) const fn depthwise<T: Element>() -> ConvKernels<T> {
    ConvKernels {
        name: "depthwise loops",
        allowed_by: KernelChoice::Portable,
        fast_math: false,
        saving: 1.0,
        suits: |conv| conv.groups > 1 && conv.groups == conv.window.c && conv.out == conv.window.c,
        forward: depthwise_forward,
        backward_data: depthwise_backward_data,
        backward_weight: depthwise_backward_weight,
    }
}

/// Group by group.
pub(in crate::kernels) const fn split<T: Element>() -> ConvKernels<T> {
    ConvKernels {
        name: "grouped",
        allowed_by: KernelChoice::Portable,
        fast_math: false,
        saving: 1.0,
        suits: |conv| conv.groups > 1,
        forward: split_forward,
        backward_data: split_backward_data,
        backward_weight: split_backward_weight,
    }
}

/// `w[c, tap]` as `[tap, c]`.
fn by_tap<T: Element>(w: &[T], channels: usize, pool: &Pool<T>) -> Array<T> {
    let taps = w.len() / channels.max(1);
    let mut packed = Array::stale(pool, Shape::new(&[taps, channels]));
    let out = packed.make_mut();
    (0..w.len()).for_each(|i| out[i % taps * channels + i / taps] = w[i]);
    packed
}

/// `out[c] += a[c]·b[c]`.
#[inline(always)]
fn multiply_add<T: Element>(out: &mut [T], a: &[T], b: &[T]) {
    out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o += *a * *b);
}

/// Element where pixel (`y`, `x`) of image `n` begins.
fn pixel(g: &Window, n: usize, y: usize, x: usize) -> usize {
    ((n * g.h + y) * g.w + x) * g.c
}

fn depthwise_forward<T: Element>(conv: &Conv, x: &[T], w: &[T], y: &mut [T], pool: &Pool<T>) {
    let (g, c) = (&conv.window, conv.out);
    let packed = by_tap(w, c, pool);
    let (w, row) = (packed.as_slice(), g.ow() * c);
    for_chunks_of_work(y, row.max(1), conv.multiply_adds(), |part, y| {
        let (n, oy) = (part / g.oh(), part % g.oh());
        let (ky0, y0, rows) = g.taps(0, oy);
        // Read once: the loops write.
        let (g, [down, right]) = (&{ *g }, g.dilation);
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for (ox, out) in y.chunks_exact_mut(c).enumerate() {
                    let (kx0, x0, width) = g.taps(1, ox);
                    out.fill(T::ZERO);
                    for r in 0..rows {
                        for k in 0..width {
                            let tap = (ky0 + r) * g.kw + kx0 + k;
                            let from = pixel(g, n, y0 + r * down, x0 + k * right);
                            multiply_add(out, &x[from..from + c], &w[tap * c..(tap + 1) * c]);
                        }
                    }
                }
            },
        );
    });
}

/// The outputs that tap `k` leads to input coordinate `i` of an axis: at most one, o with o·stride + k·dilation = i + pad.
#[inline(always)]
fn output_of(g: &Window, axis: usize, i: usize, k: usize, extent: usize) -> Option<usize> {
    let at = (i + g.pad[axis]).checked_sub(k * g.dilation[axis])?;
    let stride = g.stride[axis];
    (at.is_multiple_of(stride) && at / stride < extent).then(|| at / stride)
}

fn depthwise_backward_data<T: Element>(conv: &Conv, y_bar: &[T], w: &[T], x_bar: &mut [T], pool: &Pool<T>) {
    let (g, c) = (&conv.window, conv.out);
    let (oh, ow) = (g.oh(), g.ow());
    let packed = by_tap(w, c, pool);
    let w = packed.as_slice();
    for_chunks_of_work(x_bar, (g.w * c).max(1), conv.multiply_adds(), |part, x_bar| {
        let (n, iy) = (part / g.h, part % g.h);
        let g = &{ *g };
        vectorized::<T, _>(
            #[inline(always)]
            || {
                for (ix, out) in x_bar.chunks_exact_mut(c).enumerate() {
                    out.fill(T::ZERO);
                    for ky in 0..g.kh {
                        let Some(oy) = output_of(g, 0, iy, ky, oh) else { continue };
                        for kx in 0..g.kw {
                            let Some(ox) = output_of(g, 1, ix, kx, ow) else { continue };
                            let (from, tap) = (((n * oh + oy) * ow + ox) * c, ky * g.kw + kx);
                            multiply_add(out, &y_bar[from..from + c], &w[tap * c..(tap + 1) * c]);
                        }
                    }
                }
            },
        );
    });
}

fn depthwise_backward_weight<T: Element>(
    conv: &Conv,
    x: &[T],
    y_bar: &[T],
    w_bar: &mut [T],
    _pool: &Pool<T>,
) {
    let (g, c) = (&conv.window, conv.out);
    let (oh, ow, taps) = (g.oh(), g.ow(), g.kh * g.kw);
    let parts = by_samples(None::<&mut [T]>, g.n, conv.multiply_adds(), |images, _| {
        let mut sum = vec![T::ZERO; taps * c];
        vectorized::<T, _>(
            #[inline(always)]
            || {
                // Read once: the loops write.
                let (g, [down, right]) = (&{ *g }, g.dilation);
                for n in images {
                    for oy in 0..oh {
                        let (ky0, y0, rows) = g.taps(0, oy);
                        for ox in 0..ow {
                            let (kx0, x0, width) = g.taps(1, ox);
                            let y_bar = &y_bar[((n * oh + oy) * ow + ox) * c..][..c];
                            for r in 0..rows {
                                for k in 0..width {
                                    let tap = (ky0 + r) * g.kw + kx0 + k;
                                    let from = pixel(g, n, y0 + r * down, x0 + k * right);
                                    multiply_add(&mut sum[tap * c..(tap + 1) * c], y_bar, &x[from..from + c]);
                                }
                            }
                        }
                    }
                }
            },
        );
        sum
    });
    let mut total = vec![T::ZERO; taps * c];
    parts.iter().for_each(|part| map::add_serial(&mut total, part));
    (0..w_bar.len()).for_each(|i| w_bar[i] = total[i % taps * c + i / taps]);
}

/// The convolution of one group.
fn one(conv: &Conv) -> Conv {
    let window = Window { c: conv.window.c / conv.groups, ..conv.window };
    Conv { window, out: conv.out / conv.groups, groups: 1 }
}

/// Copies the `count` channels of one group out of rows of `channels`.
fn take<T: Element>(x: &[T], channels: usize, group: usize, count: usize, pool: &Pool<T>) -> Array<T> {
    let rows = x.len() / channels.max(1);
    let shape = Shape::new(&[rows, count]);
    let mut out = Array::stale(pool, shape);
    let from = Axis::new(Shape::new(&[rows, channels]), 1);
    copy(x, from, group * count, out.make_mut(), Axis::new(shape, 1), 0, count);
    out
}

/// The inverse of [`take`]: copies one group's channels into rows of `channels`.
fn put<T: Element>(part: &Array<T>, group: usize, y: &mut [T], channels: usize) {
    let (rows, count) = (part.shape()[0], part.shape()[1]);
    let to = Axis::new(Shape::new(&[rows, channels]), 1);
    copy(part.as_slice(), Axis::new(part.shape(), 1), 0, y, to, group * count, count);
}

fn split_forward<T: Element>(conv: &Conv, x: &[T], w: &[T], y: &mut [T], pool: &Pool<T>) {
    let one = one(conv);
    for (group, w) in w.chunks_exact(one.weight_shape().len()).enumerate() {
        let x = take(x, conv.window.c, group, one.window.c, pool);
        let mut part = Array::stale(pool, Shape::new(&[one.window.positions(), one.out]));
        super::forward(&one, x.as_slice(), w, part.make_mut(), pool);
        put(&part, group, y, conv.out);
    }
}

fn split_backward_data<T: Element>(conv: &Conv, y_bar: &[T], w: &[T], x_bar: &mut [T], pool: &Pool<T>) {
    let one = one(conv);
    let pixels = one.window.n * one.window.h * one.window.w;
    for (group, w) in w.chunks_exact(one.weight_shape().len()).enumerate() {
        let y_bar = take(y_bar, conv.out, group, one.out, pool);
        let mut part = Array::stale(pool, Shape::new(&[pixels, one.window.c]));
        super::backward_data(&one, y_bar.as_slice(), w, part.make_mut(), pool);
        put(&part, group, x_bar, conv.window.c);
    }
}

fn split_backward_weight<T: Element>(conv: &Conv, x: &[T], y_bar: &[T], w_bar: &mut [T], pool: &Pool<T>) {
    let one = one(conv);
    for (group, w_bar) in w_bar.chunks_exact_mut(one.weight_shape().len()).enumerate() {
        let x = take(x, conv.window.c, group, one.window.c, pool);
        let y_bar = take(y_bar, conv.out, group, one.out, pool);
        super::backward_weight(&one, x.as_slice(), y_bar.as_slice(), w_bar, pool);
    }
}
