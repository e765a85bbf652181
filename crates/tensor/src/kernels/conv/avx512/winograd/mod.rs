//! Winograd convolution F(M×M, 3×3): 3×3 windows at stride 1, M×M outputs at a time.
//!
//! Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for a tile d of (M + 2)² inputs (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", arXiv 1509.09308, §4): summed over input channels, ⊙ is one matrix product for each of the (M + 2)² positions
//! of the domain. Its transpose gives the adjoint in the weights, ḡ = Gᵀ[(Bᵀ d B) ⊙ (A ȳ Aᵀ)]G; the adjoint in the data is a
//! convolution with flipped weights.
//!
//! F(2×2) multiplies 2.25 times less than the direct loop and rounds about as well. F(4×4) multiplies 4 times less and rounds
//! about five times worse, so it runs only where the user allows it.
//!
//! | file | what |
//! |---|---|
//! | `maps` | A, B and G along one axis, and their application along both |
//! | `tiles` | inputs and outputs into the domain and out of it |
//! | `weights` | the same of weights |
//!
//! All three passes split their work by images, or by output channels where the weights weigh more.

mod maps;
mod tiles;
mod weights;

use super::pack::Weights;
use super::tile::{Pixels, Row, TILE, output_row, weight_tile_of};
use super::{Block, LANES, blocks, padded_channels, sum_parts};
use crate::kernels::choice::KernelChoice;
use crate::kernels::conv::{Conv, ConvKernels};
use crate::kernels::window::Window;
use crate::parallel::{for_chunks_of_work, for_chunks_with_scratch};
use crate::{Array, Pool, Shape};
use maps::{Four, Maps, Two};
use tiles::{Domain, Tiles, transform_input, transform_output, transform_output_adjoint};
use weights::{Filters, transform_weights, transform_weights_adjoint};

pub(in crate::kernels) static F2: ConvKernels<f32> = ConvKernels {
    name: "avx512 winograd F(2×2, 3×3)",
    allowed_by: KernelChoice::Auto,
    fast_math: false,
    saving: 9.0 / 4.0,
    suits: |conv| suits(conv, 2),
    forward: forward::<Two, 2, 4>,
    backward_data: backward_data::<Two, 2, 4>,
    backward_weight: backward_weight::<Two, 2, 4>,
};

pub(in crate::kernels) static F4: ConvKernels<f32> = ConvKernels {
    name: "avx512 winograd F(4×4, 3×3)",
    allowed_by: KernelChoice::Auto,
    fast_math: true,
    saving: 4.0,
    suits: |conv| suits(conv, 4),
    forward: forward::<Four, 4, 6>,
    backward_data: backward_data::<Four, 4, 6>,
    backward_weight: backward_weight::<Four, 4, 6>,
};

/// Where the saved multiplications are worth the transforms.
fn suits(conv: &Conv, m: usize) -> bool {
    let g = &conv.window;
    // Each tap counts once in M + 2 positions of a tile, so a tile should be filled at least by half.
    let filled = |extent: usize| 2 * extent > extent.next_multiple_of(m);
    (g.kh, g.kw, g.stride, conv.groups) == (3, 3, [1; 2], 1)
        && conv.is_dense()
        && g.pad[0] == g.pad[1]
        && g.pad[0] <= 2
        && g.c >= LANES
        && conv.out >= LANES
        && filled(g.oh())
        && filled(g.ow())
}

/// Height and width of the window.
const WINDOW: usize = 3;

fn forward<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let weights = Weights { w, taps: 9, input: conv.window.c, out: conv.out, swapped: false };
    run::<W, M, T>(conv, &Filters { weights, taps: [0, 1, 2, 3, 4, 5, 6, 7, 8] }, x, y, pool);
}

fn backward_data<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    y_bar: &[f32],
    w: &[f32],
    x_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let g = &conv.window;
    // The convolution with flipped weights that maps output adjoints to input adjoints.
    let window = Window { h: g.oh(), w: g.ow(), c: conv.out, pad: g.pad.map(|pad| 2 - pad), ..*g };
    let adjoint = Conv { window, out: g.c, groups: 1 };
    let weights = Weights { w, taps: 9, input: conv.out, out: g.c, swapped: true };
    run::<W, M, T>(&adjoint, &Filters { weights, taps: [8, 7, 6, 5, 4, 3, 2, 1, 0] }, y_bar, x_bar, pool);
}

fn run<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters,
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    assert!(
        x.len() == n * conv.window.image()
            && y.len() == n * conv.window.oh() * conv.window.ow() * out
            && filters.weights.w.len() == WINDOW * WINDOW * input * out
    );
    if by_channels(conv, M) {
        run_by_channels::<W, M, T>(conv, filters, x, y, pool);
    } else {
        run_by_images::<W, M, T>(conv, filters, x, y, pool);
    }
}

/// Where the weights weigh more than the tiles: the work is split by output channels then, and every worker transforms weights and
/// uses them while they are in its cache.
fn by_channels(conv: &Conv, m: usize) -> bool {
    let (g, tiles) = (&conv.window, |extent: usize| extent.div_ceil(m));
    g.n * tiles(g.oh()) * tiles(g.ow()) * (g.c + conv.out) < BY_CHANNELS * g.c * conv.out
}

/// Every group of images reads or writes the weights again when the work is split by images, the tiles once or twice when it is split by
/// channels.
const BY_CHANNELS: usize = 4;

/// y; the work split by images.
fn run_by_images<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters,
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out) = (conv.window.c, conv.out);
    let (work, rows) = (conv.multiply_adds(), T * T * input);
    let mut u = Array::stale(pool, Shape::new(&[rows * padded_channels(out)]));
    for_chunks_of_work(u.make_mut(), rows * 2 * LANES, work, |b, u| {
        let Some(block) = blocks(out).nth(b) else { return };
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights::<W, M, T>(filters, block, u) };
    });
    let (u, tiles) = (u.as_slice(), Tiles::new(conv, M));
    let (image, scratch) = (tiles.result[0] * tiles.result[1] * out, tiles.scratch());
    for_chunks_with_scratch(y, tiles.padded.images * image, work, pool, scratch, |part, y, scratch| {
        let count = y.len() / image;
        let (padded, inputs, outputs) = tiles.split(scratch);
        let x = tiles.padded.fill(x, part * tiles.padded.images, count, padded);
        for run in tiles.runs(count) {
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe {
                transform_input::<W, M, T>(&tiles, x, run, inputs);
                for block in blocks(out) {
                    for (position, u) in u[block.of(rows)].chunks_exact(input * block.width()).enumerate() {
                        products(&tiles, position, run.1, inputs, u, (tiles.outputs(), outputs), block);
                    }
                }
                transform_output::<W, M, T>(&tiles, tiles.outputs(), outputs, run, y);
            }
        }
    });
}

/// y; the work split by blocks of output channels, once all images are transformed.
fn run_by_channels<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters,
    x: &[f32],
    y: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out, work) = (conv.window.c, conv.out, conv.multiply_adds());
    let groups = Groups::new(conv, M);
    let (tiles, inputs) = (&groups.tiles, groups.inputs::<W, M, T>(x, work, pool));
    let inputs = inputs.as_slice();
    // [block][group][position][tile][channel].
    let size_of = |block: Block| groups.count * tiles.size(tiles.outputs_of(block));
    let size = blocks(out).map(size_of).max().unwrap_or(0);
    let mut outputs = Array::stale(pool, Shape::new(&[blocks(out).map(size_of).sum()]));
    let scratch = T * T * input * 2 * LANES;
    for_chunks_with_scratch(outputs.make_mut(), size, work, pool, scratch, |b, outputs, u| {
        let Some(block) = blocks(out).nth(b) else { return };
        let (u, layout) = (&mut u[..T * T * input * block.width()], tiles.outputs_of(block));
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights::<W, M, T>(filters, block, u) };
        let inner = Block { first: 0, ..block };
        for (position, u) in u.chunks_exact(input * block.width()).enumerate() {
            for (group, outputs) in outputs.chunks_exact_mut(tiles.size(layout)).enumerate() {
                let inputs = &inputs[group * tiles.size(tiles.inputs())..];
                // SAFETY: as above.
                unsafe { products(tiles, position, groups.rows(group), inputs, u, (layout, outputs), inner) };
            }
        }
    });
    let (outputs, image) = (outputs.as_slice(), tiles.result[0] * tiles.result[1] * out);
    for_chunks_of_work(y, tiles.padded.images * image, work, |group, y| {
        for (b, block) in blocks(out).enumerate() {
            let layout = tiles.outputs_of(block);
            let outputs = &outputs[b * size + group * tiles.size(layout)..];
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { transform_output::<W, M, T>(tiles, layout, outputs, (0, groups.rows(group)), y) };
        }
    });
}

/// All images, in at most four groups.
struct Groups {
    tiles: Tiles,
    images: usize,
    count: usize,
}

impl Groups {
    fn new(conv: &Conv, m: usize) -> Self {
        let images = conv.window.n;
        let tiles = Tiles::of_groups(conv, m, images.div_ceil(4));
        Groups { count: images.div_ceil(tiles.padded.images), tiles, images }
    }

    /// Bᵀ d B of all images, [group][position][tile][channel].
    fn inputs<W: Maps<M, T>, const M: usize, const T: usize>(
        &self,
        x: &[f32],
        work: usize,
        pool: &Pool<f32>,
    ) -> Array<f32> {
        let (tiles, scratch) = (&self.tiles, self.tiles.padded.scratch());
        let size = tiles.size(tiles.inputs());
        let mut inputs = Array::stale(pool, Shape::new(&[self.count * size]));
        for_chunks_with_scratch(inputs.make_mut(), size, work, pool, scratch, |group, inputs, scratch| {
            let (first, count) = self.group(group);
            let x = tiles.padded.fill(x, first, count, scratch);
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { transform_input::<W, M, T>(tiles, x, (0, self.rows(group)), inputs) };
        });
        inputs
    }

    /// First image of a group, and how many it has.
    fn group(&self, group: usize) -> (usize, usize) {
        let first = group * self.tiles.padded.images;
        (first, self.tiles.padded.images.min(self.images - first))
    }

    /// Rows of tiles of a group.
    fn rows(&self, group: usize) -> usize {
        self.group(group).1 * self.tiles.grid[0]
    }
}

/// One matrix product, tiles × input channels × a block of output channels, for one position of the domain, of which `u` are the
/// weights.
#[target_feature(enable = "avx512f")]
fn products(
    tiles: &Tiles,
    position: usize,
    rows: usize,
    inputs: &[f32],
    u: &[f32],
    (layout, outputs): (Domain, &mut [f32]),
    block: Block,
) {
    let from = tiles.inputs();
    let row = Row {
        x: &inputs[position * from.stride..],
        line: 0,
        pixel: from.pitch,
        lines: 1,
        run: from.channels,
        pixels: rows * tiles.grid[1],
        pitch: layout.pitch,
    };
    output_row(&row, u, &mut outputs[position * layout.stride..], block);
}

fn backward_weight<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input) = (conv.window.n, conv.window.c);
    assert!(
        x.len() == n * conv.window.image()
            && y_bar.len() * WINDOW * WINDOW * input == n * conv.window.oh() * conv.window.ow() * w_bar.len()
    );
    if by_channels(conv, M) {
        weight_sums_by_channels::<W, M, T>(conv, x, y_bar, w_bar, pool);
    } else {
        weight_sums_by_images::<W, M, T>(conv, x, y_bar, w_bar, pool);
    }
}

/// w̄; the work split by images.
fn weight_sums_by_images<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    let tiles = Tiles::new(conv, M);
    let (images, image) = (tiles.padded.images, tiles.result[0] * tiles.result[1] * out);
    let size = T * T * input * padded_channels(out);
    // Partial sums over fixed runs of images, added in order; fewer of them where weights are large.
    let parts = if size > 1 << 19 { 4 } else { 16 }.min(n.div_ceil(images));
    let run = n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let (work, scratch) = (conv.multiply_adds(), tiles.scratch());
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, scratch, |part, sum, scratch| {
        sum.fill(0.0);
        let (padded, inputs, outputs) = tiles.split(scratch);
        let end = ((part + 1) * run).min(n);
        for first in (part * run..end).step_by(images) {
            let count = images.min(end - first);
            let x = tiles.padded.fill(x, first, count, padded);
            let y_bar = &y_bar[first * image..(first + count) * image];
            for rows in tiles.runs(count) {
                // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
                unsafe {
                    transform_input::<W, M, T>(&tiles, x, rows, inputs);
                    transform_output_adjoint::<W, M, T>(&tiles, y_bar, rows, outputs);
                    for block in blocks(out) {
                        let sum = &mut sum[block.of(T * T * input)];
                        weight_products(&tiles, rows.1, inputs, outputs, sum, block);
                    }
                }
            }
        }
    });
    let total = sum_parts(partial.make_mut(), size);
    for_chunks_of_work(w_bar, WINDOW * WINDOW * input * 2 * LANES, work, |b, w_bar| {
        let Some(block) = blocks(out).nth(b) else { return };
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_weights_adjoint::<W, M, T>(&total[block.of(T * T * input)], block, w_bar) };
    });
}

/// w̄; the work split by blocks of output channels, once all images are transformed.
fn weight_sums_by_channels<W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[f32],
    y_bar: &[f32],
    w_bar: &mut [f32],
    pool: &Pool<f32>,
) {
    let (input, out, work) = (conv.window.c, conv.out, conv.multiply_adds());
    let groups = Groups::new(conv, M);
    let (tiles, inputs) = (&groups.tiles, groups.inputs::<W, M, T>(x, work, pool));
    let image = tiles.result[0] * tiles.result[1] * out;
    let [inputs_size, outputs_size] = [tiles.inputs(), tiles.outputs()].map(|domain| tiles.size(domain));
    let mut outputs = Array::stale(pool, Shape::new(&[groups.count * outputs_size]));
    for_chunks_of_work(outputs.make_mut(), outputs_size, work, |group, m| {
        let (first, count) = groups.group(group);
        let y_bar = &y_bar[first * image..(first + count) * image];
        // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
        unsafe { transform_output_adjoint::<W, M, T>(tiles, y_bar, (0, groups.rows(group)), m) };
    });
    let (inputs, outputs) = (inputs.as_slice(), outputs.as_slice());
    let (filter, scratch) = (WINDOW * WINDOW * input, T * T * input * 2 * LANES);
    for_chunks_with_scratch(w_bar, filter * 2 * LANES, work, pool, scratch, |b, w_bar, scratch| {
        let Some(block) = blocks(out).nth(b) else { return };
        let sum = &mut scratch[..T * T * input * block.width()];
        sum.fill(0.0);
        for group in 0..groups.count {
            let (inputs, outputs) = (&inputs[group * inputs_size..], &outputs[group * outputs_size..]);
            // SAFETY: the kernels are chosen only where the CPU has AVX-512F.
            unsafe { weight_products(tiles, groups.rows(group), inputs, outputs, sum, block) };
        }
        // SAFETY: as above.
        unsafe { transform_weights_adjoint::<W, M, T>(sum, block, w_bar) };
    });
}

/// Adds one matrix product, input channels × tiles × a block of output channels, for every position of the domain.
#[target_feature(enable = "avx512f")]
fn weight_products(
    tiles: &Tiles,
    rows: usize,
    inputs: &[f32],
    outputs: &[f32],
    sum: &mut [f32],
    block: Block,
) {
    let (from, to) = (tiles.inputs(), tiles.outputs());
    let count = rows * tiles.grid[1];
    for (position, sum) in sum.chunks_exact_mut(from.channels * block.width()).enumerate() {
        let pixels = Pixels {
            x: &inputs[position * from.stride..],
            y_bar: &outputs[position * to.stride..][..count * to.pitch],
            images: 1,
            rows: 1,
            cols: count,
            image: 0,
            line: 0,
            pixel: from.pitch,
            pitch: to.pitch,
        };
        for (tile, sum) in sum.chunks_mut(TILE * block.width()).enumerate() {
            weight_tile_of(&pixels, tile * TILE, sum, block);
        }
    }
}
