//! Convolutions in which every channel is a group of its own: vectors of channels, pixel by pixel.

// Indices of tiles are registers: loops over them are unrolled.
#![allow(clippy::needless_range_loop)]

use super::padded::{Padded, sum_parts};
use super::phases::{Phase, Plan, inputs};
use super::{Conv, ConvKernels};
use crate::kernels::choice::KernelChoice;
use crate::kernels::isa::Vector;
use crate::kernels::tile::padded;
use crate::parallel::for_chunks_with_scratch;
use crate::{Array, Element, Pool, Shape};

/// The kernels of a width.
pub(in crate::kernels) const fn kernels<V: Vector>() -> ConvKernels<V::Element> {
    ConvKernels {
        name: "depthwise",
        allowed_by: KernelChoice::Direct,
        fast_math: false,
        saving: 1.0,
        suits: |conv| {
            conv.is_dense() && conv.groups > 1 && conv.groups == conv.window.c && conv.out == conv.window.c
        },
        forward: forward::<V>,
        backward_data: backward_data::<V>,
        backward_weight: backward_weight::<V>,
    }
}

fn forward<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    w: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    run::<V>(&Plan::forward(conv), conv, x, w, y, pool);
}

fn backward_data<V: Vector>(
    conv: &Conv,
    y_bar: &[V::Element],
    w: &[V::Element],
    x_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    run::<V>(&Plan::backward_data(conv), conv, y_bar, w, x_bar, pool);
}

fn run<V: Vector>(
    plan: &Plan,
    conv: &Conv,
    x: &[V::Element],
    w: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (c, all, pitch) = (conv.out, conv.window.kh * conv.window.kw, padded::<V>(conv.out));
    // [tap][channel], zero beyond the last.
    let pack = |taps: &[usize], packed: &mut [V::Element]| {
        for (tap, row) in taps.iter().zip(packed.chunks_exact_mut(pitch)) {
            (0..c).for_each(|channel| row[channel] = w[channel * all + tap]);
            row[c..].fill(V::Element::ZERO);
        }
    };
    plan.compute((x, y), pitch, pool, pack, |plan, pair, images, x, w, y| {
        // SAFETY: the kernels are chosen only where the CPU has the instructions.
        unsafe {
            V::vectorize(
                #[inline(always)]
                || phase::<V>(plan, pair, images, x, (w, pitch), y),
            );
        }
    });
}

/// The taps of a phase, seen from the first: lines, taps in a line, elements from one to the next.
#[derive(Clone, Copy)]
struct Taps {
    lines: usize,
    line: usize,
    run: usize,
    channels: usize,
}

/// Computes the results of one phase of each axis, for a group of padded images.
#[inline(always)]
fn phase<V: Vector>(
    plan: &Plan,
    (p, q): (&Phase, &Phase),
    images: usize,
    x: &[V::Element],
    (w, pitch): (&[V::Element], usize),
    y: &mut [V::Element],
) {
    const PIXELS: usize = 4;
    let c = plan.channels[0];
    let taps = Taps { lines: p.taps.len(), line: plan.padded.line(), run: q.taps.len(), channels: c };
    let span = match taps.lines * taps.run {
        0 => 0,
        _ => (taps.lines - 1) * taps.line + (taps.run - 1) * c + c,
    };
    let mut pixels = plan.pixels((p, q), images);
    let mut left = pixels.total();
    while left > 0 {
        let count = left.min(PIXELS);
        left -= count;
        let (mut from, mut to) = ([0; PIXELS], [0; PIXELS]);
        for i in 0..PIXELS {
            // The last pixel again where fewer are left.
            (from[i], to[i]) = match i < count {
                true => pixels.next().expect("as many pixels as were counted"),
                false => (from[i - 1], to[i - 1]),
            };
            from[i] = if span == 0 { 0 } else { from[i] };
            assert!(from[i] + span <= x.len() && to[i] + c <= y.len());
        }
        let mut channel = 0;
        while channel + 2 * V::LANES <= c {
            // SAFETY: whole vectors of channels, of pixels that were checked.
            unsafe { tile::<V, PIXELS, 2>(x, &from, (w, pitch), taps, y, &to, channel, V::LANES) };
            channel += 2 * V::LANES;
        }
        while channel < c {
            let lanes = V::LANES.min(c - channel);
            // SAFETY: as above, and no channel behind the last.
            unsafe { tile::<V, PIXELS, 1>(x, &from, (w, pitch), taps, y, &to, channel, lanes) };
            channel += V::LANES;
        }
    }
}

/// `N` vectors of channels of `P` pixels; `lanes` of the last vector are in use.
///
/// # Safety
/// All taps of those channels can be read from each of `from` on, and the channels written from each of `to` on.
#[allow(clippy::too_many_arguments)] // registers
#[inline(always)]
unsafe fn tile<V: Vector, const P: usize, const N: usize>(
    x: &[V::Element],
    from: &[usize; P],
    (w, pitch): (&[V::Element], usize),
    taps: Taps,
    y: &mut [V::Element],
    to: &[usize; P],
    channel: usize,
    lanes: usize,
) {
    let mut sums = [[V::zero(); N]; P];
    let whole = lanes == V::LANES;
    // SAFETY: the caller's; packed weights have whole vectors.
    unsafe {
        let (x, mut w) = (x.as_ptr().add(channel), w.as_ptr().wrapping_add(channel));
        for l in 0..taps.lines {
            for t in 0..taps.run {
                let offset = l * taps.line + t * taps.channels;
                let mut weights = [V::zero(); N];
                for v in 0..N {
                    weights[v] = V::load(w.add(v * V::LANES));
                }
                for p in 0..P {
                    let x = x.add(from[p] + offset);
                    for v in 0..N {
                        let value = match whole {
                            true => V::load(x.add(v * V::LANES)),
                            false => V::load_first(x.add(v * V::LANES), lanes),
                        };
                        sums[p][v] = value.multiply_add(weights[v], sums[p][v]);
                    }
                }
                w = w.wrapping_add(pitch);
            }
        }
        let y = y.as_mut_ptr().add(channel);
        for p in 0..P {
            for v in 0..N {
                sums[p][v].store_first(y.add(to[p] + v * V::LANES), lanes);
            }
        }
    }
}

/// Taps whose sums registers hold at a time.
const TAPS: usize = 9;

fn backward_weight<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    w_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (g, c) = (&conv.window, conv.out);
    let (taps, image) = (g.kh * g.kw, g.oh() * g.ow() * c);
    assert!(x.len() == g.n * g.image() && y_bar.len() == g.n * image && w_bar.len() == taps * c);
    let (padded_x, pitch) = (inputs(conv, 16), padded::<V>(c));
    let size = taps * pitch;
    // Partial sums over fixed runs of images, added in order: [tap][channel].
    let parts = g.n.div_ceil(padded_x.images).min(16);
    let images = g.n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let (work, scratch) = (conv.multiply_adds(), padded_x.scratch());
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, scratch, |part, sum, scratch| {
        sum.fill(V::Element::ZERO);
        let end = ((part + 1) * images).min(g.n);
        for first in (part * images..end).step_by(padded_x.images) {
            let count = padded_x.images.min(end - first);
            let x = padded_x.fill(x, first, count, scratch);
            let y_bar = &y_bar[first * image..(first + count) * image];
            // SAFETY: the kernels are chosen only where the CPU has the instructions.
            unsafe {
                V::vectorize(
                    #[inline(always)]
                    || add_weight_sums::<V>(conv, &padded_x, x, y_bar, sum),
                );
            }
        }
    });
    let sums = sum_parts(partial.make_mut(), size);
    for (channel, w_bar) in w_bar.chunks_exact_mut(taps).enumerate() {
        w_bar.iter_mut().enumerate().for_each(|(tap, w_bar)| *w_bar = sums[tap * pitch + channel]);
    }
}

/// Adds w̄, [tap][channel], over the padded images `x`.
#[inline(always)]
fn add_weight_sums<V: Vector>(
    conv: &Conv,
    padded_x: &Padded,
    x: &[V::Element],
    y_bar: &[V::Element],
    sum: &mut [V::Element],
) {
    let (g, c) = (&conv.window, conv.out);
    let ([oh, ow], line) = ([g.oh(), g.ow()], padded_x.line());
    let (pitch, all) = (padded::<V>(c), g.kh * g.kw);
    assert!(sum.len() == all * pitch && y_bar.len() % (oh * ow * c) == 0);
    let last = (oh - 1) * g.stride[0] * line + (ow - 1) * g.stride[1] * c + (g.kh - 1) * line + g.kw * c;
    for (n, y_bar) in y_bar.chunks_exact(oh * ow * c).enumerate() {
        let first = n * padded_x.image();
        assert!(first + last <= x.len());
        for oy in 0..oh {
            for channel in (0..c).step_by(V::LANES) {
                let lanes = V::LANES.min(c - channel);
                for tap in (0..all).step_by(TAPS) {
                    let count = TAPS.min(all - tap);
                    // Where each tap begins; the last again where fewer are left.
                    let mut from = [0; TAPS];
                    for t in 0..TAPS {
                        let (ky, kx) = ((tap + t.min(count - 1)) / g.kw, (tap + t.min(count - 1)) % g.kw);
                        from[t] = first + (oy * g.stride[0] + ky) * line + kx * c + channel;
                    }
                    let mut sums = [V::zero(); TAPS];
                    // SAFETY: the last pixel of the image was checked; no channel behind the last is read. `sum` has whole vectors.
                    unsafe {
                        let mut y_bar = y_bar.as_ptr().add(oy * ow * c + channel);
                        let mut x = x.as_ptr();
                        for _ in 0..ow {
                            let load = |from: *const V::Element| match lanes == V::LANES {
                                true => V::load(from),
                                false => V::load_first(from, lanes),
                            };
                            let y = load(y_bar);
                            for t in 0..TAPS {
                                sums[t] = y.multiply_add(load(x.wrapping_add(from[t])), sums[t]);
                            }
                            y_bar = y_bar.wrapping_add(c);
                            x = x.wrapping_add(g.stride[1] * c);
                        }
                        for t in 0..count {
                            let total = sum.as_mut_ptr().add((tap + t) * pitch + channel);
                            V::load(total).add(sums[t]).store(total);
                        }
                    }
                }
            }
        }
    }
}
