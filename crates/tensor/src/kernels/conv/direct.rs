//! Direct convolution: every window whose taps lie side by side, every stride and padding. No patches are written out.

use super::pack::{Weights, unpack};
use super::padded::sum_parts;
use super::phases::{Phase, Plan, inputs};
use super::{Conv, ConvKernels};
use crate::kernels::choice::KernelChoice;
use crate::kernels::isa::Vector;
use crate::kernels::tile::{Block, Left, MOST, Write, block_parts, blocks, padded, products};
use crate::parallel::{for_chunks, for_chunks_with_scratch};
use crate::{Array, Element, Pool, Shape};

/// The kernels of a width.
pub(in crate::kernels) const fn kernels<V: Vector>() -> ConvKernels<V::Element> {
    ConvKernels {
        name: "direct",
        allowed_by: KernelChoice::Direct,
        fast_math: false,
        saving: 1.0,
        suits: |conv| conv.is_dense() && conv.groups == 1,
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
    let g = &conv.window;
    let weights = Weights { w, taps: g.kh * g.kw, input: g.c, out: conv.out, swapped: false };
    run::<V>(&Plan::forward(conv), weights, x, y, pool);
}

fn backward_data<V: Vector>(
    conv: &Conv,
    y_bar: &[V::Element],
    w: &[V::Element],
    x_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let g = &conv.window;
    let weights = Weights { w, taps: g.kh * g.kw, input: conv.out, out: g.c, swapped: true };
    run::<V>(&Plan::backward_data(conv), weights, y_bar, x_bar, pool);
}

fn run<V: Vector>(
    plan: &Plan,
    weights: Weights<V::Element>,
    x: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let pack = |taps: &[usize], part: &mut [V::Element]| weights.pack::<V>(taps, part);
    plan.compute((x, y), weights.input * padded::<V>(weights.out), pool, pack, phase::<V>);
}

/// Computes the results of one phase of each axis, for a group of padded images.
fn phase<V: Vector>(
    plan: &Plan,
    (p, q): (&Phase, &Phase),
    images: usize,
    x: &[V::Element],
    w: &[V::Element],
    y: &mut [V::Element],
) {
    let [input, out] = plan.channels;
    let (lines, run) = (p.taps.len(), q.taps.len() * input);
    let left = Left { values: x, loops: [(1, 0), (lines, plan.padded.line())], run, step: 1, most: MOST };
    let write = Write { scale: V::Element::ONE, add: false };
    for block in blocks::<V>(out) {
        let w = &w[block.of(lines * run)];
        let pixels = plan.pixels((p, q), images);
        // A phase of the adjoint may see no taps: it reads nothing and stores zeros.
        let rows = (pixels.total(), pixels.map(|(from, to)| (from, to + block.first)));
        // SAFETY: the kernels are chosen only where the CPU has the instructions.
        unsafe { products::<V>(&left, w, rows, y, block, write) };
    }
}

fn backward_weight<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    w_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (g, out, k) = (&conv.window, conv.out, conv.window.patch());
    let positions = g.positions();
    assert!(x.len() == g.n * g.image() && y_bar.len() == positions * out && w_bar.len() == k * out);
    let mut packed = Array::stale(pool, Shape::new(&[padded::<V>(out) * k]));
    // Adding partial sums up touches the weights 4 times or more; splitting by output channels, both operands once.
    if positions * (g.c + out) < 4 * k * out && blocks::<V>(out).count() > 1 {
        weight_sums_by_channels::<V>(conv, x, y_bar, packed.make_mut(), pool);
    } else {
        weight_sums_by_images::<V>(conv, x, y_bar, packed.make_mut(), pool);
    }
    unpack::<V>(packed.as_slice(), g.kh * g.kw, g.c, out, w_bar);
}

/// Runs of rows of pixels that are summed at a time: whole images, or of large ones some rows. What they read stays in the second-level cache.
#[derive(Clone, Copy)]
struct Run {
    image: usize,
    images: usize,
    row: usize,
    rows: usize,
}

fn runs(conv: &Conv, images: usize) -> impl Iterator<Item = Run> {
    /// Pixels of a run of rows.
    const PIXELS: usize = 512;
    let (oh, ow) = (conv.window.oh(), conv.window.ow());
    let rows = if oh * ow > PIXELS { PIXELS.div_ceil(ow).min(oh) } else { oh };
    let at_once = (PIXELS / (oh * ow)).clamp(1, images);
    (0..images).step_by(at_once).flat_map(move |image| {
        (0..oh).step_by(rows).map(move |row| Run {
            image,
            images: at_once.min(images - image),
            row,
            rows: rows.min(oh - row),
        })
    })
}

/// Elements of scratch for a block's part of ȳ.
fn block_scratch<V: Vector>(conv: &Conv, images: usize) -> usize {
    let pixels = runs(conv, images).map(|run| run.images * run.rows).max().unwrap_or(0) * conv.window.ow();
    3 * V::LANES * pixels
}

/// w̄, packed; the work split by images.
fn weight_sums_by_images<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    packed: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (g, out, k) = (&conv.window, conv.out, conv.window.patch());
    let padded_x = inputs(conv, 16);
    let image = g.oh() * g.ow() * out;
    let size = padded::<V>(out) * k;
    // Partial sums over fixed runs of images, added in order; fewer of them where weights are large.
    let parts = if size > 1 << 19 { 4 } else { 16 }.min(g.n.div_ceil(padded_x.images));
    let images = g.n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let work = conv.multiply_adds();
    let copies = padded_x.scratch().next_multiple_of(16);
    let scratch = copies + block_scratch::<V>(conv, padded_x.images);
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, scratch, |part, sum, scratch| {
        let (copies, adjoints) = scratch.split_at_mut(copies);
        sum.fill(V::Element::ZERO);
        let end = ((part + 1) * images).min(g.n);
        for first in (part * images..end).step_by(padded_x.images) {
            let count = padded_x.images.min(end - first);
            let x = padded_x.fill(x, first, count, copies);
            let y_bar = &y_bar[first * image..(first + count) * image];
            for run in runs(conv, count) {
                for block in blocks::<V>(out) {
                    let line = padded_x.line();
                    add_weight_sums::<V>(conv, line, x, y_bar, run, block, &mut sum[block.of(k)], adjoints);
                }
            }
        }
    });
    packed.copy_from_slice(sum_parts(partial.make_mut(), size));
}

/// w̄, packed; the work split by blocks of output channels.
fn weight_sums_by_channels<V: Vector>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    packed: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (g, out, k) = (&conv.window, conv.out, conv.window.patch());
    let (padded_x, image) = (inputs(conv, 1), g.oh() * g.ow() * out);
    let groups = g.n.div_ceil(padded_x.images);
    let of_group =
        |group: usize| (group * padded_x.images, padded_x.images.min(g.n - group * padded_x.images));
    let mut copies = Array::stale(pool, Shape::new(&[groups * padded_x.scratch()]));
    for_chunks(copies.make_mut(), padded_x.scratch().max(1), |group, copy| {
        let (first, count) = of_group(group);
        padded_x.fill(x, first, count, copy);
    });
    let copies = copies.as_slice();
    let mut parts = block_parts(blocks::<V>(out), packed, |b| k * b.width);
    let scratch = block_scratch::<V>(conv, padded_x.images);
    for_chunks_with_scratch(&mut parts, 1, conv.multiply_adds(), pool, scratch, |_, parts, adjoints| {
        for (block, sum) in parts {
            sum.fill(V::Element::ZERO);
            for group in 0..groups {
                let (first, count) = of_group(group);
                let x = match padded_x.is_copy() {
                    true => &copies[group * padded_x.scratch()..],
                    false => &x[first * g.image()..][..count * g.image()],
                };
                let y_bar = &y_bar[first * image..(first + count) * image];
                for run in runs(conv, count) {
                    add_weight_sums::<V>(conv, padded_x.line(), x, y_bar, run, *block, sum, adjoints);
                }
            }
        }
    });
}

/// Adds one block of w̄, [ky][kx][i][channels], over a run of rows of the padded images `x`, whose lines have `line` elements.
#[allow(clippy::too_many_arguments)]
fn add_weight_sums<V: Vector>(
    conv: &Conv,
    line: usize,
    x: &[V::Element],
    y_bar: &[V::Element],
    run: Run,
    block: Block,
    sum: &mut [V::Element],
    adjoints: &mut [V::Element],
) {
    let g = &conv.window;
    let (oh, ow, width) = (g.oh(), g.ow(), block.width);
    // The block's adjoints side by side: pixels would often fall into the same few sets of the cache otherwise.
    let adjoints = &mut adjoints[..run.images * run.rows * ow * width];
    let pixels = run.rows * ow;
    for (image, to) in adjoints.chunks_exact_mut(pixels * width).enumerate() {
        let first = ((run.image + image) * oh + run.row) * ow * conv.out;
        let from = y_bar[first..][..pixels * conv.out].chunks_exact(conv.out);
        // SAFETY: the kernels are chosen only where the CPU has the instructions.
        unsafe {
            V::vectorize(
                #[inline(always)]
                || {
                    for (to, from) in to.chunks_exact_mut(width).zip(from) {
                        for v in (0..width).step_by(V::LANES) {
                            let count = V::LANES.min(block.count - v);
                            let (from, to) = (&from[block.first + v..][..count], &mut to[v..][..V::LANES]);
                            V::load_first(from.as_ptr(), count).store(to.as_mut_ptr());
                        }
                    }
                },
            );
        }
    }
    let image = line * (g.h + 2 * g.pad[0]);
    let left = Left {
        values: x,
        loops: [(run.images, image), (run.rows, g.stride[0] * line)],
        run: ow,
        step: g.stride[1] * g.c,
        most: MOST,
    };
    let first = run.image * image + run.row * g.stride[0] * line;
    let (elements, whole) = (g.kw * g.c, Block { first: 0, count: width, ..block });
    for ky in 0..g.kh {
        let from = first + ky * line;
        let rows = (0..elements).map(|j| (from + j, (ky * elements + j) * width));
        let write = Write { scale: V::Element::ONE, add: true };
        // SAFETY: the kernels are chosen only where the CPU has the instructions.
        unsafe { products::<V>(&left, adjoints, (elements, rows), sum, whole, write) };
    }
}
