//! The kernels for every CPU: gather patches tile by tile (a tile stays in the second-level cache), then a matrix product.

use super::{Conv, ConvKernels};
use crate::kernels::choice::KernelChoice;
use crate::kernels::gemm::{View, serial};
use crate::kernels::window::{Window, gather, scatter_add};
use crate::parallel::{for_chunks, for_chunks_with_scratch};
use crate::{Array, Element, Pool, Shape};

/// The kernels of this file.
pub(in crate::kernels) const fn kernels<T: Element>() -> ConvKernels<T> {
    ConvKernels {
        name: "gathered patches",
        allowed_by: KernelChoice::Portable,
        fast_math: false,
        saving: 1.0,
        suits: |conv| conv.groups == 1,
        forward,
        backward_data,
        backward_weight,
    }
}

/// Positions in a tile of patches: about 256 KiB of f32, at least 32, whole images not required.
fn tile(g: &Window) -> usize {
    ((1 << 16) / g.patch().max(1)).clamp(32, 1024).min(g.positions().max(1))
}

/// Images in one part of a pass that is split by images: about 16 parts, few enough to keep buffers small.
fn images_per_part(g: &Window) -> usize {
    g.n.div_ceil(16).max(1)
}

/// OIHW → rows (ky, kx, i), columns o.
fn weights_by_patch<T: Element>(conv: &Conv, w: &[T], packed: &mut [T]) {
    let (o, g) = (conv.out, conv.window);
    let taps = g.kh * g.kw;
    for_chunks(packed, g.c * o, |t, packed| {
        for (i, row) in packed.chunks_exact_mut(o).enumerate() {
            for (oc, p) in row.iter_mut().enumerate() {
                *p = w[(oc * g.c + i) * taps + t];
            }
        }
    });
}

/// OIHW → rows (ky, kx, o) with taps reversed, columns i: the weights of [`Conv::adjoint`].
fn weights_flipped<T: Element>(conv: &Conv, w: &[T], packed: &mut [T]) {
    let g = conv.window;
    let taps = g.kh * g.kw;
    for_chunks(packed, conv.out * g.c, |t, packed| {
        for (oc, row) in packed.chunks_exact_mut(g.c).enumerate() {
            for (i, p) in row.iter_mut().enumerate() {
                *p = w[(oc * g.c + i) * taps + (taps - 1 - t)];
            }
        }
    });
}

fn scratch<T: Element>(pool: &Pool<T>, len: usize) -> Array<T> {
    Array::stale(pool, Shape::new(&[len]))
}

/// `y = x ∗ w`. `x` NHWC, `w` OIHW, `y` of [`Conv::output_shape`]; each is overwritten or read whole.
fn forward<T: Element>(conv: &Conv, x: &[T], w: &[T], y: &mut [T], pool: &Pool<T>) {
    let mut packed = scratch(pool, w.len());
    weights_by_patch(conv, w, packed.make_mut());
    forward_packed(conv, x, packed.as_slice(), y, pool);
}

/// `forward` with weights as rows (ky, kx, i), columns o.
fn forward_packed<T: Element>(conv: &Conv, x: &[T], packed: &[T], y: &mut [T], pool: &Pool<T>) {
    let (g, o) = (&conv.window, conv.out);
    let (patch, tile) = (g.patch(), tile(g));
    let weights = View::new(packed, patch, o);
    let scratch = if conv.is_matmul() { 0 } else { tile * patch };
    for_chunks_with_scratch(y, tile * o, conv.multiply_adds(), pool, scratch, |t, y, cols| {
        let rows = y.len() / o;
        if conv.is_matmul() {
            return serial(y, false, View::new(&x[t * tile * patch..], rows, patch), weights);
        }
        let cols = &mut cols[..rows * patch];
        gather(g, x, t * tile, cols);
        serial(y, false, View::new(cols, rows, patch), weights);
    });
}

/// `x̄ = ȳ ∗ᵀ w`, the adjoint of [`forward`] in `x`.
fn backward_data<T: Element>(conv: &Conv, y_bar: &[T], w: &[T], x_bar: &mut [T], pool: &Pool<T>) {
    let mut packed = scratch(pool, w.len());
    if let Some(adjoint) = conv.adjoint() {
        weights_flipped(conv, w, packed.make_mut());
        return forward_packed(&adjoint, y_bar, packed.as_slice(), x_bar, pool);
    }
    weights_by_patch(conv, w, packed.make_mut());
    let (g, o) = (&conv.window, conv.out);
    let (patch, tile, images) = (g.patch(), tile(g), images_per_part(g));
    let per_image = g.oh() * g.ow();
    let weights = View::new(packed.as_slice(), patch, o).t();
    for_chunks_with_scratch(
        x_bar,
        images * g.image(),
        conv.multiply_adds(),
        pool,
        tile * patch,
        |part, x_bar, cols| {
            x_bar.fill(T::ZERO);
            let image0 = part * images;
            let end = (image0 + x_bar.len() / g.image()) * per_image;
            let mut first = image0 * per_image;
            while first < end {
                let rows = tile.min(end - first);
                let cols = &mut cols[..rows * patch];
                serial(cols, false, View::new(&y_bar[first * o..], rows, o), weights);
                scatter_add(g, x_bar, image0, first, cols);
                first += rows;
            }
        },
    );
}

/// `w̄ = Σ patchᵀ ȳ`, the adjoint of [`forward`] in `w`, OIHW.
fn backward_weight<T: Element>(conv: &Conv, x: &[T], y_bar: &[T], w_bar: &mut [T], pool: &Pool<T>) {
    let (g, o) = (&conv.window, conv.out);
    let (patch, tile, positions) = (g.patch(), tile(g), g.positions());
    // Partial sums over a fixed number of runs of positions, added in order. Large weights have fewer of them, so
    // that adding them stays cheap.
    let parts = if w_bar.len() > 1 << 19 { 4 } else { 16 }.min(positions.div_ceil(tile)).max(1);
    let run = positions.div_ceil(parts);
    let size = patch * o;
    let mut partial = scratch(pool, parts * size);
    let scratch_len = if conv.is_matmul() { 0 } else { tile * patch };
    for_chunks_with_scratch(
        partial.make_mut(),
        size,
        conv.multiply_adds(),
        pool,
        scratch_len,
        |part, sum, cols| {
            let end = ((part + 1) * run).min(positions);
            let mut first = (part * run).min(end);
            let mut accumulate = false;
            while first < end {
                let rows = tile.min(end - first);
                let y_bar = View::new(&y_bar[first * o..], rows, o);
                if conv.is_matmul() {
                    serial(sum, accumulate, View::new(&x[first * patch..], rows, patch).t(), y_bar);
                } else {
                    let cols = &mut cols[..rows * patch];
                    gather(g, x, first, cols);
                    serial(sum, accumulate, View::new(cols, rows, patch).t(), y_bar);
                }
                accumulate = true;
                first += rows;
            }
            if !accumulate {
                sum.fill(T::ZERO);
            }
        },
    );
    unpack_gradient(conv, partial.as_slice(), w_bar);
}

/// Adds partial gradients (rows (ky, kx, i), columns o) in order and stores them as OIHW.
fn unpack_gradient<T: Element>(conv: &Conv, partial: &[T], w_bar: &mut [T]) {
    let (g, o) = (&conv.window, conv.out);
    let taps = g.kh * g.kw;
    for_chunks(w_bar, g.c * taps, |oc, row| {
        row.fill(T::ZERO);
        for sum in partial.chunks_exact(g.patch() * o) {
            for i in 0..g.c {
                for t in 0..taps {
                    row[i * taps + t] += sum[(t * g.c + i) * o + oc];
                }
            }
        }
    });
}
