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
use super::padded::sum_parts;
use super::{Conv, ConvKernels};
use crate::kernels::choice::KernelChoice;
use crate::kernels::isa::Vector;
use crate::kernels::tile::{Block, Left, MOST, Write, block_parts, blocks, for_blocks, padded, products};
use crate::kernels::window::Window;
use crate::parallel::{for_chunks_of_work, for_chunks_with_scratch};
use crate::{Array, Element, Pool, Shape};
use maps::{Four, Maps, Two};
use tiles::{Tiles, transform_input, transform_output, transform_output_adjoint};
use weights::{Filters, transform_weights, transform_weights_adjoint};

/// F(2×2, 3×3) of a width.
pub(in crate::kernels) const fn f2<V: Vector>() -> ConvKernels<V::Element> {
    ConvKernels {
        name: "winograd F(2×2, 3×3)",
        allowed_by: KernelChoice::Auto,
        fast_math: false,
        saving: 9.0 / 4.0,
        suits: |conv| suits::<V>(conv, 2),
        forward: forward::<V, Two, 2, 4>,
        backward_data: backward_data::<V, Two, 2, 4>,
        backward_weight: backward_weight::<V, Two, 2, 4>,
    }
}

/// F(4×4, 3×3) of a width.
pub(in crate::kernels) const fn f4<V: Vector>() -> ConvKernels<V::Element> {
    ConvKernels {
        name: "winograd F(4×4, 3×3)",
        allowed_by: KernelChoice::Auto,
        fast_math: true,
        saving: 4.0,
        suits: |conv| suits::<V>(conv, 4),
        forward: forward::<V, Four, 4, 6>,
        backward_data: backward_data::<V, Four, 4, 6>,
        backward_weight: backward_weight::<V, Four, 4, 6>,
    }
}

/// Channels below which the transforms cost more than the saved multiplications.
const CHANNELS: usize = 16;

/// Where the saved multiplications are worth the transforms.
fn suits<V: Vector>(conv: &Conv, m: usize) -> bool {
    let g = &conv.window;
    // Each tap counts once in M + 2 positions of a tile, so a tile should be filled at least by half.
    let filled = |extent: usize| 2 * extent > extent.next_multiple_of(m);
    (g.kh, g.kw, g.stride, conv.groups) == (3, 3, [1; 2], 1)
        && conv.is_dense()
        && g.pad[0] == g.pad[1]
        && g.pad[0] <= 2
        && g.c >= CHANNELS
        && conv.out >= CHANNELS
        && filled(g.oh())
        && filled(g.ow())
}

/// Height and width of the window.
const WINDOW: usize = 3;

fn forward<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[V::Element],
    w: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let weights = Weights { w, taps: 9, input: conv.window.c, out: conv.out, swapped: false };
    run::<V, W, M, T>(conv, &Filters { weights, taps: [0, 1, 2, 3, 4, 5, 6, 7, 8] }, x, y, pool);
}

fn backward_data<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    y_bar: &[V::Element],
    w: &[V::Element],
    x_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let g = &conv.window;
    // The convolution with flipped weights that maps output adjoints to input adjoints.
    let window = Window { h: g.oh(), w: g.ow(), c: conv.out, pad: g.pad.map(|pad| 2 - pad), ..*g };
    let adjoint = Conv { window, out: g.c, groups: 1 };
    let weights = Weights { w, taps: 9, input: conv.out, out: g.c, swapped: true };
    run::<V, W, M, T>(&adjoint, &Filters { weights, taps: [8, 7, 6, 5, 4, 3, 2, 1, 0] }, y_bar, x_bar, pool);
}

fn run<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters<V::Element>,
    x: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    assert!(
        x.len() == n * conv.window.image()
            && y.len() == n * conv.window.oh() * conv.window.ow() * out
            && filters.weights.w.len() == WINDOW * WINDOW * input * out
    );
    if by_channels(conv, M) {
        run_by_channels::<V, W, M, T>(conv, filters, x, y, pool);
    } else {
        run_by_images::<V, W, M, T>(conv, filters, x, y, pool);
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

/// The products of one block of output channels at one position: `count` tiles × input channels × the block's channels, into `outputs`,
/// [tile][channel].
fn position_products<V: Vector>(
    (inputs, tiles, count): (&[V::Element], &Tiles, usize),
    u: &[V::Element],
    outputs: &mut [V::Element],
    block: Block,
) {
    let (pitch, whole) = (tiles.pitch[0], Block { first: 0, count: block.width, ..block });
    let left = Left { values: inputs, loops: [(1, 0); 2], run: tiles.channels[0], step: 1, most: MOST };
    let rows = (count, (0..count).map(|tile| (tile * pitch, tile * block.width)));
    let write = Write { scale: V::Element::ONE, add: false };
    // SAFETY: the kernels are chosen only where the CPU has the instructions.
    unsafe { products::<V>(&left, u, rows, outputs, whole, write) };
}

/// y; the work split by images.
fn run_by_images<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters<V::Element>,
    x: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (input, out) = (conv.window.c, conv.out);
    let (work, rows) = (conv.multiply_adds(), T * T * input);
    let mut u = Array::stale(pool, Shape::new(&[rows * padded::<V>(out)]));
    for_blocks(
        blocks::<V>(out),
        u.make_mut(),
        |b| rows * b.width,
        |block, u| weights_of::<V, W, M, T>(filters, block, u),
    );
    let (u, tiles) = (u.as_slice(), Tiles::new::<V>(conv, M));
    let (image, scratch) = (tiles.result[0] * tiles.result[1] * out, tiles.scratch());
    let [from, to] = tiles.pitch.map(|pitch| tiles.stride(pitch));
    for_chunks_with_scratch(y, tiles.padded.images * image, work, pool, scratch, |part, y, scratch| {
        let images = y.len() / image;
        let (copies, inputs, outputs) = tiles.split(scratch);
        let x = tiles.padded.fill(x, part * tiles.padded.images, images, copies);
        for run in tiles.runs(images) {
            // SAFETY: the kernels are chosen only where the CPU has the instructions.
            unsafe {
                V::vectorize(
                    #[inline(always)]
                    || transform_input::<V, W, M, T>(&tiles, x, run, inputs),
                );
            }
            let count = run.1 * tiles.grid[1];
            for block in blocks::<V>(out) {
                for (position, u) in u[block.of(rows)].chunks_exact(input * block.width).enumerate() {
                    let outputs = &mut outputs[position * to..][block.of(tiles.most())];
                    position_products::<V>((&inputs[position * from..], &tiles, count), u, outputs, block);
                }
                let outputs = &outputs[block.first * tiles.most()..];
                // SAFETY: as above.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || transform_output::<V, W, M, T>(&tiles, block, (outputs, to), run, y),
                    );
                }
            }
        }
    });
}

/// G g Gᵀ of a block.
fn weights_of<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    filters: &Filters<V::Element>,
    block: Block,
    u: &mut [V::Element],
) {
    // SAFETY: the kernels are chosen only where the CPU has the instructions.
    unsafe {
        V::vectorize(
            #[inline(always)]
            || transform_weights::<V, W, M, T>(filters, block, u),
        );
    }
}

/// y; the work split by blocks of output channels, once all images are transformed.
fn run_by_channels<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    filters: &Filters<V::Element>,
    x: &[V::Element],
    y: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (input, out, work) = (conv.window.c, conv.out, conv.multiply_adds());
    let groups = Groups::new::<V>(conv, M);
    let (tiles, inputs) = (&groups.tiles, groups.inputs::<V, W, M, T>(x, work, pool));
    let inputs = inputs.as_slice();
    let (inputs_size, from) = (tiles.size(tiles.pitch[0]), tiles.stride(tiles.pitch[0]));
    // [block][group][position][tile][channel].
    let size_of = |block: &Block| groups.count * tiles.size(block.width);
    let mut outputs = Array::stale(pool, Shape::new(&[blocks::<V>(out).map(|b| size_of(&b)).sum()]));
    let mut parts = block_parts(blocks::<V>(out), outputs.make_mut(), size_of);
    let scratch = T * T * input * 3 * V::LANES;
    for_chunks_with_scratch(&mut parts, 1, work, pool, scratch, |_, parts, u| {
        for (block, outputs) in parts {
            let (u, size) = (&mut u[..T * T * input * block.width], tiles.size(block.width));
            weights_of::<V, W, M, T>(filters, *block, u);
            for (position, u) in u.chunks_exact(input * block.width).enumerate() {
                for (group, outputs) in outputs.chunks_exact_mut(size).enumerate() {
                    let inputs = &inputs[group * inputs_size + position * from..];
                    let outputs = &mut outputs[position * tiles.stride(block.width)..];
                    position_products::<V>((inputs, tiles, groups.tiles(group)), u, outputs, *block);
                }
            }
        }
    });
    drop(parts);
    let (outputs, image) = (outputs.as_slice(), tiles.result[0] * tiles.result[1] * out);
    for_chunks_of_work(y, tiles.padded.images * image, work, |group, y| {
        let mut rest = outputs;
        for block in blocks::<V>(out) {
            let (part, after) = rest.split_at(size_of(&block));
            rest = after;
            let outputs = &part[group * tiles.size(block.width)..];
            let domain = (outputs, tiles.stride(block.width));
            // SAFETY: the kernels are chosen only where the CPU has the instructions.
            unsafe {
                V::vectorize(
                    #[inline(always)]
                    || transform_output::<V, W, M, T>(tiles, block, domain, (0, groups.rows(group)), y),
                );
            }
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
    fn new<V: Vector>(conv: &Conv, m: usize) -> Self {
        let images = conv.window.n;
        let tiles = Tiles::of_groups::<V>(conv, m, images.div_ceil(4));
        Groups { count: images.div_ceil(tiles.padded.images), tiles, images }
    }

    /// Bᵀ d B of all images, [group][position][tile][channel].
    fn inputs<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
        &self,
        x: &[V::Element],
        work: usize,
        pool: &Pool<V::Element>,
    ) -> Array<V::Element> {
        let (tiles, scratch) = (&self.tiles, self.tiles.padded.scratch());
        let size = tiles.size(tiles.pitch[0]);
        let mut inputs = Array::stale(pool, Shape::new(&[self.count * size]));
        for_chunks_with_scratch(inputs.make_mut(), size, work, pool, scratch, |group, inputs, scratch| {
            let (first, count) = self.group(group);
            let x = tiles.padded.fill(x, first, count, scratch);
            // SAFETY: the kernels are chosen only where the CPU has the instructions.
            unsafe {
                V::vectorize(
                    #[inline(always)]
                    || transform_input::<V, W, M, T>(tiles, x, (0, self.rows(group)), inputs),
                );
            }
        });
        inputs
    }

    /// First image and number of images of a group.
    fn group(&self, group: usize) -> (usize, usize) {
        let first = group * self.tiles.padded.images;
        (first, self.tiles.padded.images.min(self.images - first))
    }

    /// Rows of tiles of a group.
    fn rows(&self, group: usize) -> usize {
        self.group(group).1 * self.tiles.grid[0]
    }

    /// Tiles of a group.
    fn tiles(&self, group: usize) -> usize {
        self.rows(group) * self.tiles.grid[1]
    }
}

fn backward_weight<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    w_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (n, input) = (conv.window.n, conv.window.c);
    assert!(
        x.len() == n * conv.window.image()
            && y_bar.len() * WINDOW * WINDOW * input == n * conv.window.oh() * conv.window.ow() * w_bar.len()
    );
    if T * T * input * conv.out > BY_POSITIONS {
        weight_sums_by_positions::<V, W, M, T>(conv, x, y_bar, w_bar, pool);
    } else {
        weight_sums_by_images::<V, W, M, T>(conv, x, y_bar, w_bar, pool);
    }
}

/// Elements of w̄ in the domain that a second-level cache holds beside the tiles. More of them are read and written too often when every few
/// images add to all.
const BY_POSITIONS: usize = 1 << 17;

/// w̄; the work split by images.
fn weight_sums_by_images<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    w_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (n, input, out) = (conv.window.n, conv.window.c, conv.out);
    let tiles = Tiles::new::<V>(conv, M);
    let (images, image) = (tiles.padded.images, tiles.result[0] * tiles.result[1] * out);
    let size = T * T * input * padded::<V>(out);
    // Partial sums over fixed runs of images, added in order; fewer of them where weights are large.
    let parts = if size > 1 << 19 { 4 } else { 16 }.min(n.div_ceil(images));
    let run = n.div_ceil(parts);
    let mut partial = Array::stale(pool, Shape::new(&[parts * size]));
    let (work, scratch) = (conv.multiply_adds(), tiles.scratch());
    for_chunks_with_scratch(partial.make_mut(), size, work, pool, scratch, |part, sum, scratch| {
        sum.fill(V::Element::ZERO);
        let (copies, inputs, outputs) = tiles.split(scratch);
        let end = ((part + 1) * run).min(n);
        for first in (part * run..end).step_by(images) {
            let count = images.min(end - first);
            let x = tiles.padded.fill(x, first, count, copies);
            let y_bar = &y_bar[first * image..(first + count) * image];
            for rows in tiles.runs(count) {
                // SAFETY: the kernels are chosen only where the CPU has the instructions.
                unsafe {
                    V::vectorize(
                        #[inline(always)]
                        || transform_input::<V, W, M, T>(&tiles, x, rows, inputs),
                    );
                    V::vectorize(
                        #[inline(always)]
                        || transform_output_adjoint::<V, W, M, T>(&tiles, y_bar, rows, outputs),
                    );
                }
                for block in blocks::<V>(out) {
                    let (sum, count) = (&mut sum[block.of(T * T * input)], rows.1 * tiles.grid[1]);
                    weight_products::<V>(&tiles, count, inputs, outputs, sum, block);
                }
            }
        }
    });
    let total = sum_parts(partial.make_mut(), size);
    for_blocks(
        blocks::<V>(out),
        w_bar,
        |b| WINDOW * WINDOW * input * b.count,
        |block, w_bar| {
            let size = input * block.width;
            weights_adjoint_of::<V, W, M, T>((&total[block.of(T * T * input)], size), block, w_bar);
        },
    );
}

/// Gᵀ u G of a block, whose positions are some elements apart.
fn weights_adjoint_of<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    u: (&[V::Element], usize),
    block: Block,
    w_bar: &mut [V::Element],
) {
    // SAFETY: the kernels are chosen only where the CPU has the instructions.
    unsafe {
        V::vectorize(
            #[inline(always)]
            || transform_weights_adjoint::<V, W, M, T>(u, block, w_bar),
        );
    }
}

/// w̄; the work split by positions of the domain, once some images are transformed.
fn weight_sums_by_positions<V: Vector, W: Maps<M, T>, const M: usize, const T: usize>(
    conv: &Conv,
    x: &[V::Element],
    y_bar: &[V::Element],
    w_bar: &mut [V::Element],
    pool: &Pool<V::Element>,
) {
    let (n, input, out, work) = (conv.window.n, conv.window.c, conv.out, conv.multiply_adds());
    let (tiles, at_once) = Tiles::at_once::<V>(conv, M);
    let [inputs_size, outputs_size] = tiles.pitch.map(|pitch| tiles.size(pitch));
    let image = tiles.result[0] * tiles.result[1] * out;
    let fresh = |size: usize| Array::stale(pool, Shape::new(&[at_once * size]));
    let (mut inputs, mut outputs) = (fresh(inputs_size), fresh(outputs_size));
    let size = input * padded::<V>(out);
    let mut sums = Array::zeros(pool, Shape::new(&[T * T * size]));
    let per_group = tiles.padded.images;
    for start in (0..n).step_by(at_once * per_group) {
        let groups = at_once.min((n - start).div_ceil(per_group));
        let images = |group: usize| per_group.min(n - start - group * per_group);
        let scratch = tiles.padded.scratch();
        let inputs = &mut inputs.make_mut()[..groups * inputs_size];
        for_chunks_with_scratch(inputs, inputs_size, work, pool, scratch, |group, inputs, scratch| {
            let x = tiles.padded.fill(x, start + group * per_group, images(group), scratch);
            // SAFETY: the kernels are chosen only where the CPU has the instructions.
            unsafe {
                V::vectorize(
                    #[inline(always)]
                    || transform_input::<V, W, M, T>(&tiles, x, (0, images(group) * tiles.grid[0]), inputs),
                );
            }
        });
        let outputs = &mut outputs.make_mut()[..groups * outputs_size];
        for_chunks_of_work(outputs, outputs_size, work, |group, outputs| {
            let first = start + group * per_group;
            let y_bar = &y_bar[first * image..(first + images(group)) * image];
            let rows = (0, images(group) * tiles.grid[0]);
            // SAFETY: as above.
            unsafe {
                V::vectorize(
                    #[inline(always)]
                    || transform_output_adjoint::<V, W, M, T>(&tiles, y_bar, rows, outputs),
                );
            }
        });
        let (inputs, outputs) = (&*inputs, &*outputs);
        for_chunks_of_work(sums.make_mut(), size, work, |position, sum| {
            for group in 0..groups {
                let count = images(group) * tiles.grid[0] * tiles.grid[1];
                let (inputs, outputs) = (&inputs[group * inputs_size..], &outputs[group * outputs_size..]);
                for block in blocks::<V>(out) {
                    let sum = &mut sum[block.of(input)];
                    position_weight_products::<V>(&tiles, position, count, inputs, outputs, sum, block);
                }
            }
        });
    }
    let sums = sums.as_slice();
    for_blocks(
        blocks::<V>(out),
        w_bar,
        |b| WINDOW * WINDOW * input * b.count,
        |block, w_bar| {
            weights_adjoint_of::<V, W, M, T>((&sums[block.first * input..], size), block, w_bar);
        },
    );
}

/// Adds one matrix product, input channels × tiles × a block of output channels, for every position of the domain.
fn weight_products<V: Vector>(
    tiles: &Tiles,
    count: usize,
    inputs: &[V::Element],
    outputs: &[V::Element],
    sum: &mut [V::Element],
    block: Block,
) {
    for (position, sum) in sum.chunks_exact_mut(tiles.channels[0] * block.width).enumerate() {
        position_weight_products::<V>(tiles, position, count, inputs, outputs, sum, block);
    }
}

/// The same for one position.
fn position_weight_products<V: Vector>(
    tiles: &Tiles,
    position: usize,
    count: usize,
    inputs: &[V::Element],
    outputs: &[V::Element],
    sum: &mut [V::Element],
    block: Block,
) {
    let [from, to] = tiles.pitch.map(|pitch| tiles.stride(pitch));
    let left = Left {
        values: &inputs[position * from..],
        loops: [(1, 0); 2],
        run: count,
        step: tiles.pitch[0],
        most: MOST,
    };
    let outputs = &outputs[position * to..][block.of(tiles.most())];
    let (input, whole) = (tiles.channels[0], Block { first: 0, count: block.width, ..block });
    let rows = (input, (0..input).map(|i| (i, i * block.width)));
    let write = Write { scale: V::Element::ONE, add: true };
    // SAFETY: the kernels are chosen only where the CPU has the instructions.
    unsafe { products::<V>(&left, outputs, rows, sum, whole, write) };
}
