//! Direct convolution: every window whose taps lie side by side, every stride and padding.
//!
//! A forward pass and the adjoint in the data are the same loop. At strides s and t the adjoint splits into s·t phases, one for each
//! pair of remainders of an input pixel's coordinates: each is a convolution of ȳ at stride 1 with every s-th and t-th tap, flipped.

use super::pack::{Weights, unpack};
use super::tile::{Pixels, Row, TILE, output_row, weight_tile_of};
use super::{Block, LANES, Padded, blocks, padded_channels, sum_parts};
use crate::kernels::choice::KernelChoice;
use crate::kernels::conv::{Conv, ConvKernels};
use crate::parallel::{for_chunks, for_chunks_with_scratch};
use crate::{Array, Pool, Shape};

pub(in crate::kernels) static KERNELS: ConvKernels<f32> = ConvKernels {
    name: "avx512 direct",
    allowed_by: KernelChoice::Direct,
    fast_math: false,
    saving: 1.0,
    suits: |conv| conv.is_dense() && conv.groups == 1,
    forward,
    backward_data,
    backward_weight,
};

/// Along one axis: results `to`, `to + step`, … (`count` of them) that see the source through the same taps. The first reads
/// `taps.len()` elements of the padded source from `from` on, in the order of `taps`.
struct Phase {
    to: usize,
    count: usize,
    from: usize,
    taps: Vec<usize>,
}

/// The phases of the adjoint along an axis of `extent` inputs; and the zeros needed in front of ȳ, and all that is read of it.
fn adjoint_phases(extent: usize, kernel: usize, stride: usize, pad: usize) -> (Vec<Phase>, usize, usize) {
    // Input i = stride·q + to takes tap stride·j + r from output q + shift − j.
    let with_shift = |to: usize| {
        let (r, shift) = ((to + pad) % stride, (to + pad) / stride);
        let taps: Vec<usize> = (r..kernel).step_by(stride).rev().collect();
        (to, shift, taps)
    };
    let all = (0..stride.min(extent)).map(with_shift);
    let before = all.clone().map(|(_, shift, taps)| taps.len().saturating_sub(shift + 1)).max().unwrap_or(0);
    let phases: Vec<Phase> = all
        .map(|(to, shift, taps)| Phase {
            to,
            count: (extent - to).div_ceil(stride),
            from: (before + shift + 1).saturating_sub(taps.len()),
            taps,
        })
        .collect();
    let read = phases.iter().map(|p| p.from + p.count - 1 + p.taps.len()).max().unwrap_or(0);
    (phases, before, read)
}

/// What [`run`] computes: results at every position of the phases' product.
struct Plan<'a> {
    weights: Weights<'a>,
    padded: Padded,
    /// Steps of the windows over the padded source.
    stride: [usize; 2],
    /// Height and width of a result, and the steps from one result of a phase to the next.
    result: [usize; 2],
    step: [usize; 2],
    rows: Vec<Phase>,
    cols: Vec<Phase>,
    multiply_adds: usize,
    is_matmul: bool,
}

impl Plan<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&Phase, &Phase)> {
        self.rows.iter().flat_map(|p| self.cols.iter().map(move |q| (p, q)))
    }

    /// Elements of the packed weights of a pair of phases.
    fn weights_of(&self, p: &Phase, q: &Phase) -> usize {
        p.taps.len() * q.taps.len() * self.weights.input * padded_channels(self.weights.out)
    }
}

fn forward(conv: &Conv, x: &[f32], w: &[f32], y: &mut [f32], pool: &Pool<f32>) {
    let g = &conv.window;
    let (oh, ow) = (g.oh(), g.ow());
    let all =
        |count: usize, kernel: usize| vec![Phase { to: 0, count, from: 0, taps: (0..kernel).collect() }];
    let plan = Plan {
        weights: Weights { w, taps: g.kh * g.kw, input: g.c, out: conv.out, swapped: false },
        padded: padded(conv, 16),
        stride: g.stride,
        result: [oh, ow],
        step: [1; 2],
        rows: all(oh, g.kh),
        cols: all(ow, g.kw),
        multiply_adds: conv.multiply_adds(),
        is_matmul: conv.is_matmul(),
    };
    run(&plan, g.kw, x, y, pool);
}

/// The input, padded.
fn padded(conv: &Conv, parts: usize) -> Padded {
    let g = &conv.window;
    let to = [g.h + 2 * g.pad[0], g.w + 2 * g.pad[1]];
    let images = Padded::group(g.n, g.oh() * g.ow(), to[0] * to[1] * g.c, parts);
    Padded::new([g.h, g.w, g.c], g.pad, to, images)
}

fn backward_data(conv: &Conv, y_bar: &[f32], w: &[f32], x_bar: &mut [f32], pool: &Pool<f32>) {
    let g = &conv.window;
    let (rows, above, height) = adjoint_phases(g.h, g.kh, g.stride[0], g.pad[0]);
    let (cols, left, width) = adjoint_phases(g.w, g.kw, g.stride[1], g.pad[1]);
    let images = Padded::group(g.n, g.h * g.w, height * width * conv.out, 16);
    let plan = Plan {
        weights: Weights { w, taps: g.kh * g.kw, input: conv.out, out: g.c, swapped: true },
        padded: Padded::new([g.oh(), g.ow(), conv.out], [above, left], [height, width], images),
        stride: [1; 2],
        result: [g.h, g.w],
        step: g.stride,
        rows,
        cols,
        multiply_adds: conv.multiply_adds(),
        is_matmul: conv.is_matmul(),
    };
    run(&plan, g.kw, y_bar, x_bar, pool);
}

/// `kw` is the width of the whole window.
fn run(plan: &Plan, kw: usize, x: &[f32], y: &mut [f32], pool: &Pool<f32>) {
    let total = plan.pairs().map(|(p, q)| plan.weights_of(p, q)).sum();
    let mut packed = Array::stale(pool, Shape::new(&[total]));
    let mut rest = packed.make_mut();
    for (p, q) in plan.pairs() {
        let (part, after) = rest.split_at_mut(plan.weights_of(p, q));
        rest = after;
        let taps: Vec<usize> =
            p.taps.iter().flat_map(|ky| q.taps.iter().map(move |kx| ky * kw + kx)).collect();
        if !taps.is_empty() {
            plan.weights.pack(&taps, part);
        }
    }
    let (packed, padded) = (packed.as_slice(), &plan.padded);
    let image = plan.result[0] * plan.result[1] * plan.weights.out;
    assert_eq!(y.len() / image.max(1) * padded.from.iter().product::<usize>(), x.len());
    let (size, scratch) = (padded.images * image, padded.scratch());
    for_chunks_with_scratch(y, size, plan.multiply_adds, pool, scratch, |part, y, scratch| {
        let x = padded.fill(x, part * padded.images, y.len() / image, scratch);
        let mut packed = packed;
        for (p, q) in plan.pairs() {
            let (w, after) = packed.split_at(plan.weights_of(p, q));
            packed = after;
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { phase(plan, (p, q), x, w, y) };
        }
    });
}

/// Computes the results of one phase of each axis, for a group of padded images.
#[target_feature(enable = "avx512f")]
fn phase(plan: &Plan, (p, q): (&Phase, &Phase), x: &[f32], w: &[f32], y: &mut [f32]) {
    let (padded, Weights { input, out, .. }) = (&plan.padded, plan.weights);
    let (line, image) = (plan.result[1] * out, plan.result[0] * plan.result[1] * out);
    let (lines, run) = (p.taps.len(), q.taps.len() * input);
    // Of a matrix product, all images are one row of pixels.
    let (x_image, y_image, rows, pixels) = match plan.is_matmul {
        true => (x.len(), y.len(), 1, y.len() / out),
        false => (padded.image(), image, p.count, q.count),
    };
    for block in blocks(out) {
        let w = &w[block.of(lines * run)];
        for (x, y) in x.chunks_exact(x_image).zip(y.chunks_exact_mut(y_image)) {
            for r in 0..rows {
                let from = (p.from + r * plan.stride[0]) * padded.line() + q.from * input;
                let row = Row {
                    x: &x[from.min(x.len())..],
                    line: padded.line(),
                    pixel: plan.stride[1] * input,
                    lines,
                    run,
                    pixels,
                    pitch: plan.step[1] * out,
                };
                output_row(&row, w, &mut y[(p.to + r * plan.step[0]) * line + q.to * out..], block);
            }
        }
    }
}

fn backward_weight(conv: &Conv, x: &[f32], y_bar: &[f32], w_bar: &mut [f32], pool: &Pool<f32>) {
    let (g, out, k) = (&conv.window, conv.out, conv.window.patch());
    let positions = g.positions();
    assert!(x.len() == g.n * g.image() && y_bar.len() == positions * out && w_bar.len() == k * out);
    let mut packed = Array::stale(pool, Shape::new(&[padded_channels(out) * k]));
    // Adding partial sums up touches the weights 4 times or more; splitting by output channels, both operands once.
    if positions * (g.c + out) < 4 * k * out && blocks(out).count() > 1 {
        weight_sums_by_channels(conv, x, y_bar, packed.make_mut(), pool);
    } else {
        weight_sums_by_images(conv, x, y_bar, packed.make_mut(), pool);
    }
    unpack(packed.as_slice(), g.kh * g.kw, g.c, out, w_bar);
}

/// w̄, packed; the work split by images.
fn weight_sums_by_images(conv: &Conv, x: &[f32], y_bar: &[f32], packed: &mut [f32], pool: &Pool<f32>) {
    let (g, out, k) = (&conv.window, conv.out, conv.window.patch());
    let padded = padded(conv, 16);
    let image = g.oh() * g.ow() * out;
    let size = padded_channels(out) * k;
    // Partial sums over fixed runs of images, added in order; fewer of them where weights are large.
    let parts = if size > 1 << 19 { 4 } else { 16 }.min(g.n.div_ceil(padded.images));
    let run = g.n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let work = conv.multiply_adds();
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, padded.scratch(), |part, sum, scratch| {
        sum.fill(0.0);
        let end = ((part + 1) * run).min(g.n);
        for first in (part * run..end).step_by(padded.images) {
            let count = padded.images.min(end - first);
            let x = padded.fill(x, first, count, scratch);
            let y_bar = &y_bar[first * image..(first + count) * image];
            for block in blocks(out) {
                // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
                unsafe { add_weight_sums(conv, &padded, x, (y_bar, out), block, &mut sum[block.of(k)]) };
            }
        }
    });
    packed.copy_from_slice(sum_parts(partial.make_mut(), size));
}

/// w̄, packed; the work split by blocks of output channels.
fn weight_sums_by_channels(conv: &Conv, x: &[f32], y_bar: &[f32], packed: &mut [f32], pool: &Pool<f32>) {
    let (g, out, k) = (&conv.window, conv.out, conv.window.patch());
    let (padded, image) = (padded(conv, 1), g.oh() * g.ow() * out);
    let groups = g.n.div_ceil(padded.images);
    let of_group = |group: usize| (group * padded.images, padded.images.min(g.n - group * padded.images));
    let mut copies = Array::stale(pool, Shape::new(&[groups * padded.scratch()]));
    for_chunks(copies.make_mut(), padded.scratch().max(1), |group, copy| {
        let (first, count) = of_group(group);
        padded.fill(x, first, count, copy);
    });
    let copies = copies.as_slice();
    // A block's adjoints, side by side: pixels would often fall into the same few sets of the cache otherwise.
    let scratch = padded.images * g.oh() * g.ow() * 2 * LANES;
    for_chunks_with_scratch(
        packed,
        k * 2 * LANES,
        conv.multiply_adds(),
        pool,
        scratch,
        |b, packed, scratch| {
            let Some(block) = blocks(out).nth(b) else { return };
            let (channels, width) = (block.end() - block.first, block.width());
            packed.fill(0.0);
            for group in 0..groups {
                let (first, count) = of_group(group);
                let x = match padded.is_copy() {
                    true => &copies[group * padded.scratch()..],
                    false => &x[first * g.image()..][..count * g.image()],
                };
                let y_bar = &y_bar[first * image..(first + count) * image];
                let y_block = &mut scratch[..count * g.oh() * g.ow() * width];
                for (to, from) in y_block.chunks_exact_mut(width).zip(y_bar.chunks_exact(out)) {
                    to[..channels].copy_from_slice(&from[block.first..block.end()]);
                }
                let block = Block { first: 0, ..block };
                // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
                unsafe { add_weight_sums(conv, &padded, x, (y_block, width), block, packed) };
            }
        },
    );
}

/// Adds one block of w̄, [ky][kx][i][16·V], over the padded images `x`; the pixels of ȳ are `pitch` elements apart.
#[target_feature(enable = "avx512f")]
fn add_weight_sums(
    conv: &Conv,
    padded: &Padded,
    x: &[f32],
    (y_bar, pitch): (&[f32], usize),
    block: Block,
    sum: &mut [f32],
) {
    let g = &conv.window;
    let images = y_bar.len() / (g.oh() * g.ow() * pitch);
    let (images, rows, cols) = match conv.is_matmul() {
        true => (1, 1, images * g.oh() * g.ow()),
        false => (images, g.oh(), g.ow()),
    };
    for (ky, sum) in sum.chunks_exact_mut(g.kw * g.c * block.width()).enumerate() {
        let pixels = Pixels {
            x: &x[ky * padded.line()..],
            y_bar,
            images,
            rows,
            cols,
            image: padded.image(),
            line: g.stride[0] * padded.line(),
            pixel: g.stride[1] * g.c,
            pitch,
        };
        for (tile, sum) in sum.chunks_mut(TILE * block.width()).enumerate() {
            weight_tile_of(&pixels, tile * TILE, sum, block);
        }
    }
}
