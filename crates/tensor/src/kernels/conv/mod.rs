//! 2-D convolution on NHWC images: forward, adjoint in the data, adjoint in the weights.
//!
//! Weights come in PyTorch's OIHW layout and are rearranged by the kernels. Which kernels run depends on the element type,
//! the CPU and the shape ([`kernels_for`]): `avx512` for f32 where the CPU has it, Winograd's among them where they win;
//! `portable` everywhere else. Convolutions in groups are split over them, and have loops of their own where every channel is a
//! group (`grouped`).

#[cfg(target_arch = "x86_64")]
mod avx512;
mod grouped;
mod portable;

use crate::kernels::choice::{KernelChoice, fast_math, kernel_choice};
use crate::kernels::window::Window;
use crate::{Element, Pool, Shape};
use std::sync::OnceLock;

/// A convolution: the sliding window, the number of output channels and of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Input images and window.
    pub window: Window,
    /// Output channels.
    pub out: usize,
    /// Groups of channels, each convolved on its own; divides input and output channels. 1 is the usual convolution.
    pub groups: usize,
}

impl Conv {
    /// Shape of the output, NHWC.
    pub fn output_shape(&self) -> Shape {
        Shape::new(&[self.window.n, self.window.oh(), self.window.ow(), self.out])
    }

    /// Shape of the weights, OIHW; I is the input channels of one group.
    pub fn weight_shape(&self) -> Shape {
        Shape::new(&[self.out, self.window.c / self.groups, self.window.kh, self.window.kw])
    }

    /// Multiply-adds of one pass over the whole batch, padded taps counted.
    pub fn multiply_adds(&self) -> usize {
        self.window.positions() * self.window.patch() / self.groups * self.out
    }

    /// The convolution with flipped weights that maps output adjoints to input adjoints, at stride 1.
    pub(crate) fn adjoint(&self) -> Option<Conv> {
        let g = self.window;
        let pad = [g.kh.checked_sub(1 + g.pad[0])?, g.kw.checked_sub(1 + g.pad[1])?];
        (g.stride == [1; 2] && self.is_dense() && g.kh == g.kw).then(|| Conv {
            window: Window { h: g.oh(), w: g.ow(), c: self.out, pad, ..g },
            out: g.c,
            groups: 1,
        })
    }

    /// The taps of its windows lie side by side, and no window leads over the padding's edge.
    pub(crate) fn is_dense(&self) -> bool {
        self.window.dilation == [1; 2] && self.window.extra == [0; 2]
    }

    /// A 1×1 convolution at stride 1 without padding is a matrix product on the images as they are.
    pub(crate) fn is_matmul(&self) -> bool {
        let g = self.window;
        g.kh == 1 && g.kw == 1 && g.stride == [1; 2] && g.pad == [0; 2]
    }
}

/// One pass. Arguments are the geometry, the two operands, the output, which is overwritten, and the pool that scratch comes from.
type Run<T> = fn(&Conv, &[T], &[T], &mut [T], &Pool<T>);

/// Kernels for the three passes of a convolution.
pub struct ConvKernels<T: Element> {
    /// Their name in reports.
    name: &'static str,
    /// The most restricted choice that still allows them.
    allowed_by: KernelChoice,
    /// They round worse than the others, so they run only where the user allows it ([`configure_kernels`](super::choice::configure_kernels)).
    fast_math: bool,
    /// See [`KernelInfo::saving`].
    saving: f64,
    /// Whether they can run a convolution and are fast at it.
    suits: fn(&Conv) -> bool,
    /// x NHWC, w OIHW → y.
    forward: Run<T>,
    /// ȳ, w → x̄.
    backward_data: Run<T>,
    /// x, ȳ → w̄ OIHW.
    backward_weight: Run<T>,
}

/// The kernels for f32 on this CPU, fastest first. The last ones run every convolution.
pub(crate) fn kernels_f32() -> &'static [&'static ConvKernels<f32>] {
    static KERNELS: OnceLock<Vec<&'static ConvKernels<f32>>> = OnceLock::new();
    KERNELS.get_or_init(|| {
        let mut all = vec![];
        #[cfg(target_arch = "x86_64")]
        all.extend(avx512::kernels().into_iter().flatten());
        all.push(&portable::KERNELS);
        all
    })
}

/// The kernels for f64.
pub(crate) fn kernels_f64() -> &'static [&'static ConvKernels<f64>] {
    static KERNELS: [&ConvKernels<f64>; 1] = [&portable::KERNELS_F64];
    &KERNELS
}

/// The kernels that run a convolution, for reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelInfo {
    /// Their name.
    pub name: &'static str,
    /// Multiply-adds of the convolution, as they are usually counted, over those that the kernels do: more than 1 for Winograd's.
    pub saving: f64,
}

/// The kernels that run `conv`.
pub fn kernels_for<T: Element>(conv: &Conv) -> KernelInfo {
    let kernels = kernels::<T>(conv);
    KernelInfo { name: kernels.name, saving: kernels.saving }
}

fn kernels<T: Element>(conv: &Conv) -> &'static ConvKernels<T> {
    if conv.groups > 1 {
        return grouped::kernels(conv);
    }
    let (choice, all) = (kernel_choice(), T::conv_kernels());
    let allowed = |k: &ConvKernels<T>| choice <= k.allowed_by && (fast_math() || !k.fast_math);
    let suits = |k: &&&ConvKernels<T>| allowed(k) && (k.suits)(conv);
    all.iter().find(suits).unwrap_or(&all[all.len() - 1])
}

/// `y = x ∗ w`. `x` NHWC, `w` OIHW, `y` of [`Conv::output_shape`].
pub fn forward<T: Element>(conv: &Conv, x: &[T], w: &[T], y: &mut [T], pool: &Pool<T>) {
    (kernels::<T>(conv).forward)(conv, x, w, y, pool);
}

/// `x̄ = ȳ ∗ᵀ w`, the adjoint of [`forward`] in `x`.
pub fn backward_data<T: Element>(conv: &Conv, y_bar: &[T], w: &[T], x_bar: &mut [T], pool: &Pool<T>) {
    (kernels::<T>(conv).backward_data)(conv, y_bar, w, x_bar, pool);
}

/// `w̄ = Σ patchᵀ ȳ`, the adjoint of [`forward`] in `w`, OIHW.
pub fn backward_weight<T: Element>(conv: &Conv, x: &[T], y_bar: &[T], w_bar: &mut [T], pool: &Pool<T>) {
    (kernels::<T>(conv).backward_weight)(conv, x, y_bar, w_bar, pool);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// Shapes with odd sizes, strides, paddings and rectangular kernels.
    fn shapes() -> Vec<Conv> {
        let mut r = Rng::new(11, "shapes", 0, 0);
        let mut all = vec![];
        while all.len() < 300 {
            let (kh, kw) = (1 + r.below(5), 1 + r.below(5));
            let images = [1 + r.below(5), 1 + r.below(12), 1 + r.below(12), 1 + r.below(20)];
            let window = Window::square(images, [kh, kw], 1 + r.below(3), r.below(4));
            if window.fits() {
                all.push(Conv { window, out: 1 + r.below(36), groups: 1 });
            }
        }
        // Strides, paddings and distances of taps of their own for each axis.
        while all.len() < 600 {
            let images = [1 + r.below(3), 1 + r.below(14), 1 + r.below(14), 1 + r.below(9)];
            let window = uneven(&mut r, images);
            if window.fits() {
                all.push(Conv { window, out: 1 + r.below(36), groups: 1 });
            }
        }
        // Shapes that Winograd's kernels run.
        while all.len() < 1000 {
            let (h, w, c, out) = (1 + r.below(11), 1 + r.below(11), 16 + r.below(34), 16 + r.below(34));
            let window = Window::square([1 + r.below(9), h, w, c], [3; 2], 1, r.below(3));
            if window.fits() {
                all.push(Conv { window, out, groups: 1 });
            }
        }
        // Batches of which several images make one part.
        for (n, h, c, out) in [(40, 4, 20, 35), (100, 4, 64, 64), (40, 8, 16, 32), (33, 8, 5, 17)] {
            for stride in [1, 2] {
                all.push(Conv { window: Window::square([n, h, h, c], [3; 2], stride, 1), out, groups: 1 });
            }
        }
        for (c, out) in [(16, 16), (16, 32), (3, 16), (64, 64)] {
            for stride in [1, 2] {
                for (kernel, pad) in [(3, 1), (1, 0)] {
                    let window = Window::square([9, 16, 16, c], [kernel; 2], stride, pad);
                    all.push(Conv { window, out, groups: 1 });
                }
            }
        }
        all
    }

    /// A window with settings of its own for each axis.
    fn uneven(r: &mut Rng, images: [usize; 4]) -> Window {
        let mut pair = |from: usize, below: usize| [from + r.below(below), from + r.below(below)];
        let (kernel, stride, pad, dilation) = (pair(1, 4), pair(1, 3), pair(0, 4), pair(1, 3));
        Window { stride, pad, dilation, ..Window::square(images, kernel, 1, 0) }
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
                    let at = |axis: usize, o: usize, k: usize| {
                        (o * g.stride[axis] + k * g.dilation[axis]).wrapping_sub(g.pad[axis])
                    };
                    let (y, x) = (at(0, oy, ky), at(1, ox, kx));
                    if y >= g.h || x >= g.w {
                        continue;
                    }
                    let (ci, co) = (g.c / conv.groups, conv.out / conv.groups);
                    for c in 0..g.c {
                        for o in c / ci * co..(c / ci + 1) * co {
                            let xi = ((n * g.h + y) * g.w + x) * g.c + c;
                            f(p * conv.out + o, xi, ((o * ci + c % ci) * g.kh + ky) * g.kw + kx);
                        }
                    }
                }
            }
        }
    }

    /// |error| ≤ tolerance·(|x| ∗ |w|).
    fn close(got: &[f32], want: &[f64], scale: &[f64], tolerance: f64, what: &str) {
        for ((g, w), s) in got.iter().zip(want).zip(scale) {
            assert!((*g as f64 - w).abs() <= tolerance * s, "{what}: {g} {w}");
        }
    }

    #[test]
    fn all_three_passes_agree_with_a_naive_loop_in_f64() {
        let mut counts = vec![0; kernels_f32().len()];
        for conv in shapes() {
            let suits = |k: &&ConvKernels<f32>| (k.suits)(&conv);
            let kernels: Vec<&ConvKernels<f32>> = kernels_f32().iter().copied().filter(suits).collect();
            agree(&kernels, conv);
            let count = |(n, k): (&mut usize, &&ConvKernels<f32>)| *n += suits(k) as usize;
            counts.iter_mut().zip(kernels_f32()).for_each(count);
        }
        assert!(counts.iter().all(|n| *n >= 300), "{counts:?}");
    }

    #[test]
    fn convolutions_in_groups_agree_with_a_naive_loop_in_f64() {
        let mut r = Rng::new(12, "groups", 0, 0);
        let mut count = 0;
        while count < 300 {
            let groups = 2 + r.below(5);
            // Every channel a group, one output each; or any numbers.
            let (ci, co) = if r.below(2) == 0 { (1, 1) } else { (1 + r.below(4), 1 + r.below(4)) };
            let images = [1 + r.below(20), 1 + r.below(9), 1 + r.below(9), groups * ci];
            let window = if count < 150 {
                let kernel = [1 + r.below(4), 1 + r.below(4)];
                Window::square(images, kernel, 1 + r.below(3), r.below(3))
            } else {
                uneven(&mut r, images)
            };
            if window.fits() {
                let conv = Conv { window, out: groups * co, groups };
                agree(&[kernels(&conv)], conv);
                count += 1;
            }
        }
    }

    fn agree(kernels: &[&ConvKernels<f32>], conv: Conv) {
        let pool = Pool::new();
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
        for k in kernels {
            let tolerance = if k.fast_math { 5e-5 } else { 1e-5 };
            let mut got = vec![f32::NAN; y.len()];
            (k.forward)(&conv, &x, &w, &mut got, &pool);
            close(&got, &y, &ys, tolerance, &format!("{} forward {conv:?}", k.name));
            let mut got = vec![f32::NAN; x.len()];
            (k.backward_data)(&conv, &y_bar, &w, &mut got, &pool);
            close(&got, &xb, &xs, tolerance, &format!("{} backward_data {conv:?}", k.name));
            let mut got = vec![f32::NAN; w.len()];
            (k.backward_weight)(&conv, &x, &y_bar, &mut got, &pool);
            close(&got, &wb, &ws, tolerance, &format!("{} backward_weight {conv:?}", k.name));
        }
    }
}
