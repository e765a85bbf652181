//! 2-D convolution on NHWC images: forward, adjoint in the data, adjoint in the weights.
//!
//! Weights come in PyTorch's OIHW layout and are rearranged here. The portable path gathers patches tile by tile
//! (a tile stays in the second-level cache) and multiplies with the `gemm` crate.

use crate::kernels::gemm::{View, serial};
use crate::kernels::window::{Window, gather, scatter_add};
use crate::parallel::{for_chunks, for_chunks_with_scratch};
use crate::{Array, Element, Pool, Shape};

/// A convolution: the sliding window and the number of output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Input images and window.
    pub window: Window,
    /// Output channels.
    pub out: usize,
}

impl Conv {
    /// Shape of the output, NHWC.
    pub fn output_shape(&self) -> Shape {
        Shape::new(&[self.window.n, self.window.oh(), self.window.ow(), self.out])
    }

    /// Shape of the weights, OIHW.
    pub fn weight_shape(&self) -> Shape {
        Shape::new(&[self.out, self.window.c, self.window.kh, self.window.kw])
    }

    /// Multiply-adds of one pass over the whole batch, padded taps counted.
    pub fn multiply_adds(&self) -> usize {
        self.window.positions() * self.window.patch() * self.out
    }

    /// The convolution with flipped weights that maps output adjoints to input adjoints, at stride 1.
    fn adjoint(&self) -> Option<Conv> {
        let g = self.window;
        (g.stride == 1 && g.kh == g.kw && g.pad < g.kh).then(|| Conv {
            window: Window { h: g.oh(), w: g.ow(), c: self.out, pad: g.kh - 1 - g.pad, ..g },
            out: g.c,
        })
    }

    /// A 1×1 convolution at stride 1 without padding is a matrix product on the images as they are.
    fn is_matmul(&self) -> bool {
        let g = self.window;
        g.kh == 1 && g.kw == 1 && g.stride == 1 && g.pad == 0
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
pub fn forward<T: Element>(conv: &Conv, x: &[T], w: &[T], y: &mut [T], pool: &Pool<T>) {
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
pub fn backward_data<T: Element>(conv: &Conv, y_bar: &[T], w: &[T], x_bar: &mut [T], pool: &Pool<T>) {
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
pub fn backward_weight<T: Element>(conv: &Conv, x: &[T], y_bar: &[T], w_bar: &mut [T], pool: &Pool<T>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// Shapes with odd sizes, strides, paddings and rectangular kernels.
    fn shapes() -> Vec<Conv> {
        let mut r = Rng::new(11, "shapes", 0, 0);
        let mut all = vec![];
        while all.len() < 60 {
            let (kh, kw) = (1 + r.below(5), 1 + r.below(5));
            let window = Window {
                n: 1 + r.below(5),
                h: 1 + r.below(12),
                w: 1 + r.below(12),
                c: 1 + r.below(20),
                kh,
                kw,
                stride: 1 + r.below(3),
                pad: r.below(4),
            };
            if window.fits() {
                all.push(Conv { window, out: 1 + r.below(36) });
            }
        }
        for (c, out) in [(16, 16), (16, 32), (3, 16), (64, 64)] {
            for stride in [1, 2] {
                let window = Window { n: 9, h: 16, w: 16, c, kh: 3, kw: 3, stride, pad: 1 };
                all.push(Conv { window, out });
                all.push(Conv { window: Window { kh: 1, kw: 1, pad: 0, ..window }, out });
            }
        }
        all
    }

    fn random(len: usize, tag: u64) -> Vec<f32> {
        let mut r = Rng::new(5, "values", len as u64, tag);
        (0..len).map(|_| r.normal() as f32).collect()
    }

    /// Calls `f(output index, input index, weight index)` for every multiply-add.
    fn each_term(conv: &Conv, mut f: impl FnMut(usize, usize, usize)) {
        let g = conv.window;
        for p in 0..g.positions() {
            let (n, oy, ox) = g.locate(p);
            for ky in 0..g.kh {
                for kx in 0..g.kw {
                    let (y, x) =
                        ((oy * g.stride + ky).wrapping_sub(g.pad), (ox * g.stride + kx).wrapping_sub(g.pad));
                    if y >= g.h || x >= g.w {
                        continue;
                    }
                    for c in 0..g.c {
                        for o in 0..conv.out {
                            let xi = ((n * g.h + y) * g.w + x) * g.c + c;
                            f(p * conv.out + o, xi, ((o * g.c + c) * g.kh + ky) * g.kw + kx);
                        }
                    }
                }
            }
        }
    }

    fn close(got: &[f32], want: &[f64], scale: &[f64], what: &str) {
        for ((g, w), s) in got.iter().zip(want).zip(scale) {
            assert!((*g as f64 - w).abs() <= 1e-5 * s, "{what}: {g} {w}");
        }
    }

    #[test]
    fn all_three_passes_agree_with_a_naive_loop_in_f64() {
        let pool = Pool::new();
        for conv in shapes() {
            let g = conv.window;
            let x = random(g.n * g.image(), 0);
            let w = random(conv.weight_shape().len(), 1);
            let y_bar = random(conv.output_shape().len(), 2);
            let zeros = |n: usize| (vec![0.0f64; n], vec![0.0f64; n]);
            let ((mut y, mut ys), (mut xb, mut xs), (mut wb, mut ws)) =
                (zeros(y_bar.len()), zeros(x.len()), zeros(w.len()));
            each_term(&conv, |o, i, k| {
                let (xv, wv, bv) = (x[i] as f64, w[k] as f64, y_bar[o] as f64);
                y[o] += xv * wv;
                ys[o] += (xv * wv).abs();
                xb[i] += bv * wv;
                xs[i] += (bv * wv).abs();
                wb[k] += bv * xv;
                ws[k] += (bv * xv).abs();
            });
            let mut got = vec![f32::NAN; y.len()];
            forward(&conv, &x, &w, &mut got, &pool);
            close(&got, &y, &ys, &format!("forward {conv:?}"));
            let mut got = vec![f32::NAN; x.len()];
            backward_data(&conv, &y_bar, &w, &mut got, &pool);
            close(&got, &xb, &xs, &format!("backward_data {conv:?}"));
            let mut got = vec![f32::NAN; w.len()];
            backward_weight(&conv, &x, &y_bar, &mut got, &pool);
            close(&got, &wb, &ws, &format!("backward_weight {conv:?}"));
        }
    }
}
