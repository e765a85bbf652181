//! 2-D convolution on NHWC images: forward, adjoint in the data, adjoint in the weights.
//!
//! Weights come in PyTorch's OIHW layout and are rearranged by the kernels. Which kernels run depends on the element type, the instruction
//! set and the shape ([`kernels_for`]): each set has a row of them, best first (`kernels::table`).
//!
//! | file | what |
//! |---|---|
//! | `one_tap` | windows of one pixel: matrix products |
//! | `winograd` | 3×3 windows at stride 1 with 2.25 or 4 times fewer multiplications |
//! | `direct` | every window whose taps lie side by side; no patches are written out |
//! | `depthwise` | every channel a group of its own |
//! | `gathered` | every window: patches and matrix products, on every CPU |
//! | `grouped` | groups: every channel one, in plain loops; or group by group |
//! | `avx512` | Winograd's and the direct kernels with AVX-512 |
//! | `phases`, `padded`, `pack` | which pixels make which results; padded images; weights as kernels want them |

// The kernels take pointers, and run only where the CPU has their instructions: that is for the table to see to.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod depthwise;
pub(super) mod direct;
pub(super) mod gathered;
pub(super) mod grouped;
pub(super) mod one_tap;
mod pack;
mod padded;
mod phases;
pub(super) mod winograd;

use crate::kernels::choice::{KernelChoice, fast_math, kernel_choice};
use crate::kernels::window::Window;
use crate::{Element, Pool, Shape};

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
    let (choice, all) = (kernel_choice(), T::kernels().conv);
    let allowed = |k: &ConvKernels<T>| choice <= k.allowed_by && (fast_math() || !k.fast_math);
    let suits = |k: &&&ConvKernels<T>| allowed(k) && (k.suits)(conv);
    match all.iter().find(suits) {
        Some(kernels) => kernels,
        None => panic!("no kernels for {conv:?}"),
    }
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
    use crate::kernels::isa::Isa;
    use crate::{DType, Rng};

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
        // Matrix products.
        while all.len() < 1320 {
            let images = [1 + r.below(9), 1 + r.below(9), 1 + r.below(9), 1 + r.below(60)];
            all.push(Conv { window: Window::square(images, [1; 2], 1, 0), out: 1 + r.below(60), groups: 1 });
        }
        // Rows of pixels that are summed a few at a time; weights that are heavy, and images that are transformed in several goes.
        for (n, h, c, out, stride) in
            [(2, 30, 3, 20, 1), (1, 61, 5, 17, 2), (9, 8, 96, 96, 1), (33, 8, 16, 520, 1)]
        {
            all.push(Conv { window: Window::square([n, h, h, c], [3; 2], stride, 1), out, groups: 1 });
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

    fn random<T: Element>(len: usize, tag: u64) -> Vec<T> {
        let mut r = Rng::new(5, "values", len as u64, tag);
        (0..len).map(|_| T::from_f64(r.normal())).collect()
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
    fn close<T: Element>(got: &[T], want: &[f64], scale: &[f64], tolerance: f64, what: &str) {
        for ((g, w), s) in got.iter().zip(want).zip(scale) {
            assert!((g.to_f64() - w).abs() <= tolerance * s, "{what}: {g} {w}");
        }
    }

    /// The instruction sets of this CPU.
    fn sets() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    #[test]
    fn all_three_passes_agree_with_a_naive_loop_in_f64() {
        let kernels: Vec<(Isa, &ConvKernels<f32>)> =
            sets().flat_map(|isa| f32::kernels_of(isa).conv.iter().map(move |k| (isa, *k))).collect();
        let mut counts = vec![0; kernels.len()];
        for conv in shapes() {
            let suits = |(_, k): &&(Isa, &ConvKernels<f32>)| (k.suits)(&conv);
            let suited: Vec<_> = kernels.iter().filter(suits).copied().collect();
            agree(&suited, conv);
            counts.iter_mut().zip(&kernels).for_each(|(n, k)| *n += suits(&k) as usize);
        }
        for (n, (isa, k)) in counts.iter().zip(&kernels) {
            // Those for groups have a test of their own.
            assert!(
                *n >= 300 || ["depthwise", "depthwise loops", "grouped"].contains(&k.name),
                "{} {}: {n}",
                isa.name(),
                k.name
            );
        }
    }

    #[test]
    fn all_three_passes_agree_with_a_naive_loop_in_double_precision() {
        for conv in shapes().into_iter().step_by(3) {
            let all = sets().flat_map(|isa| f64::kernels_of(isa).conv.iter().map(move |k| (isa, *k)));
            agree(&all.filter(|(_, k)| (k.suits)(&conv)).collect::<Vec<_>>(), conv);
        }
    }

    #[test]
    fn convolutions_in_groups_agree_with_a_naive_loop_in_f64() {
        let mut r = Rng::new(12, "groups", 0, 0);
        let mut count = 0;
        while count < 700 {
            let groups = 2 + r.below(if count % 2 == 0 { 40 } else { 5 });
            // Every channel a group, one output each; or any numbers.
            let (ci, co) = if count % 2 == 0 { (1, 1) } else { (1 + r.below(4), 1 + r.below(4)) };
            let images = [1 + r.below(20), 1 + r.below(9), 1 + r.below(9), groups * ci];
            let window = if count < 600 {
                let kernel = [1 + r.below(4), 1 + r.below(4)];
                Window::square(images, kernel, 1 + r.below(3), r.below(3))
            } else {
                uneven(&mut r, images)
            };
            if window.fits() {
                let conv = Conv { window, out: groups * co, groups };
                let of = |isa: Isa| f32::kernels_of(isa).conv.iter().map(move |k| (isa, *k));
                agree(&sets().flat_map(of).filter(|(_, k)| (k.suits)(&conv)).collect::<Vec<_>>(), conv);
                count += 1;
            }
        }
    }

    fn agree<T: Element>(kernels: &[(Isa, &ConvKernels<T>)], conv: Conv) {
        let pool = Pool::new();
        let g = conv.window;
        let x = random::<T>(g.n * g.image(), 0);
        let w = random::<T>(conv.weight_shape().len(), 1);
        let y_bar = random::<T>(conv.output_shape().len(), 2);
        let zeros = |n: usize| (vec![0.0f64; n], vec![0.0f64; n]);
        let ((mut y, mut ys), (mut xb, mut xs), (mut wb, mut ws)) =
            (zeros(y_bar.len()), zeros(x.len()), zeros(w.len()));
        each_term(&conv, |o, i, k| {
            let (xv, wv, bv) = (x[i].to_f64(), w[k].to_f64(), y_bar[o].to_f64());
            y[o] += xv * wv;
            ys[o] += (xv * wv).abs();
            xb[i] += bv * wv;
            xs[i] += (bv * wv).abs();
            wb[k] += bv * xv;
            ws[k] += (bv * xv).abs();
        });
        for (isa, k) in kernels {
            let what = |pass: &str| format!("{} {} {pass} {:?} {conv:?}", isa.name(), k.name, T::DTYPE);
            let tolerance = match (T::DTYPE, k.fast_math) {
                (DType::F64, _) => 1e-14,
                (DType::F32, false) => 1e-5,
                (DType::F32, true) => 5e-5,
            };
            let nan = T::from_f64(f64::NAN);
            let mut got = vec![nan; y.len()];
            (k.forward)(&conv, &x, &w, &mut got, &pool);
            close(&got, &y, &ys, tolerance, &what("forward"));
            let mut got = vec![nan; x.len()];
            (k.backward_data)(&conv, &y_bar, &w, &mut got, &pool);
            close(&got, &xb, &xs, tolerance, &what("backward_data"));
            let mut got = vec![nan; w.len()];
            (k.backward_weight)(&conv, &x, &y_bar, &mut got, &pool);
            close(&got, &wb, &ws, tolerance, &what("backward_weight"));
        }
    }
}
