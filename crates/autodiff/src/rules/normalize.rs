//! Normalization: the derivation that BatchNorm, LayerNorm, GroupNorm, InstanceNorm and RMSNorm share (docs/algorithm.md §2), and the two
//! loops that most of them are made of.
//!
//! Elements are normalized in sets of m. Over a set, with `mean` the mean over its elements:
//!
//! ```text
//! z = x − μ,  μ = mean(x)      s = 1/√(mean(z²) + ε)      x̂ = sz      y = γx̂ + β
//! ```
//!
//! The mean of z is 0, so ṡ = −s³·mean(zż) = −s³·mean(zẋ), and x̂̇ = sż + ṡz. The map from ẋ to x̂̇ is symmetric, so it also takes a = γȳ,
//! the adjoint of x̂, to x̄; its tangent is the product rule's:
//!
//! ```text
//! ẏ  = γx̂̇ + γ̇x̂ + β̇        x̂̇ = s(ẋ − q₁ − x̂q₂)       q₁ = mean(ẋ), q₂ = mean(x̂ẋ), ṡ = −s²q₂
//! x̄  = s(a − u − x̂v)       a = γȳ       u = mean(a), v = mean(x̂a)        γ̄ = Σ ȳx̂        β̄ = Σ ȳ
//! x̄̇ = ṡ(a − u − x̂v) + s(ȧ − w₁ − x̂̇v − x̂w₂)       ȧ = γ̇ȳ + γȳ̇
//!       w₁ = mean(ȧ), w₂ = mean(x̂̇a + x̂ȧ)           γ̄̇ = Σ (ȳ̇x̂ + ȳx̂̇)      β̄̇ = Σ ȳ̇
//! ```
//!
//! RMSNorm takes no mean off: μ = 0, and q₁, u and w₁ are left out. Where μ and s are constants (running averages) ẋ does not move them:
//! all of q, u, v and w are left out.
//!
//! | norm | a set | γ and β | file |
//! |---|---|---|---|
//! | batch | a channel of all samples | one of each in a set | `ops/batch_norm.rs` |
//! | group, layer, instance, RMS, of images | a group of channels of a sample | one of each per channel | `rules/group_norm.rs` |
//! | layer, RMS, of tokens | a row | one of each per element | `rules/row_norm.rs` |
//!
//! The first two are linear in z, ẋ, ȳ and ȳ̇ with coefficients per channel, which follow from sums over each channel: each rule is one
//! reduction, [`channel_sums`], and one map, [`combine`].

use sph_tensor::Element;
use sph_tensor::kernels::{map, reduce};

/// Inputs of every normalization, by position; RMSNorm has no β.
pub(crate) const X: usize = 0;
pub(crate) const GAMMA: usize = 1;
pub(crate) const BETA: usize = 2;

/// The arrays beside x that a rule reads, in the layout of x; `None` where one is not there.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a, T> {
    pub(crate) y_bar: Option<&'a [T]>,
    pub(crate) x_dot: Option<&'a [T]>,
    pub(crate) y_bar_dot: Option<&'a [T]>,
}

impl<'a, T> Operands<'a, T> {
    /// ȳ alone: the operands of vjp.
    pub(crate) fn adjoint(y_bar: &'a [T]) -> Self {
        Operands { y_bar: Some(y_bar), x_dot: None, y_bar_dot: None }
    }

    /// ẋ alone, or nothing: those of jvp.
    pub(crate) fn tangent(x_dot: Option<&'a [T]>) -> Self {
        Operands { y_bar: None, x_dot, y_bar_dot: None }
    }

    /// The same elements of each.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let part = |v: Option<&'a [T]>| v.map(|v| &v[range.clone()]);
        Operands { y_bar: part(self.y_bar), x_dot: part(self.x_dot), y_bar_dot: part(self.y_bar_dot) }
    }
}

/// Sums over the elements of one channel, with z = x − μ; zero for an operand that is not there.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ChannelSums {
    /// Σ ȳ
    pub(crate) y_bar: f64,
    /// Σ ȳz
    pub(crate) y_bar_z: f64,
    /// Σ ẋ
    pub(crate) x_dot: f64,
    /// Σ ẋz
    pub(crate) x_dot_z: f64,
    /// Σ ȳ̇
    pub(crate) y_bar_dot: f64,
    /// Σ ȳ̇z
    pub(crate) y_bar_dot_z: f64,
    /// Σ ȳẋ
    pub(crate) y_bar_x_dot: f64,
}

impl ChannelSums {
    /// γ̄ = Σ ȳx̂.
    pub(crate) fn gamma_bar(&self, s: f64) -> f64 {
        s * self.y_bar_z
    }

    /// Σ ȳx̂̇ = s(Σ ȳẋ − q₁ Σ ȳ − q₂ Σ ȳx̂).
    pub(crate) fn y_bar_x_hat_dot(&self, s: f64, (q1, q2): (f64, f64)) -> f64 {
        s * (self.y_bar_x_dot - q1 * self.y_bar - q2 * s * self.y_bar_z)
    }

    /// γ̄̇ = Σ (ȳ̇x̂ + ȳx̂̇).
    pub(crate) fn gamma_bar_dot(&self, s: f64, q: (f64, f64)) -> f64 {
        s * self.y_bar_dot_z + self.y_bar_x_hat_dot(s, q)
    }
}

/// What is known of each channel: its mean, and the rectifier that may follow the normalization.
#[derive(Clone, Copy)]
pub(crate) struct Channels<'a, T> {
    /// μ.
    pub(crate) mean: &'a [T],
    /// The rectifier's scale and shift. Where `scale`·z + `shift` is not positive, ȳ, ȳ̇ and tangents count as zero.
    pub(crate) relu: Option<[&'a [T]; 2]>,
}

impl<'a, T> Channels<'a, T> {
    /// No rectifier follows.
    pub(crate) fn new(mean: &'a [T]) -> Self {
        Channels { mean, relu: None }
    }

    /// μ, and the rectifier's scale and shift (anything, where there is none).
    fn coefficients(&self) -> [&'a [T]; 3] {
        let [scale, shift] = self.relu.unwrap_or([self.mean; 2]);
        [self.mean, scale, shift]
    }
}

/// v where the rectifier lets it pass, else zero; v itself where there is no rectifier.
#[inline(always)]
fn rectified<T: Element, const RELU: bool>(v: T, z: T, scale: T, shift: T) -> T {
    if !RELU || scale * z + shift > T::ZERO { v } else { T::ZERO }
}

/// The sums of every channel, in one pass over x and the operands that are there.
pub(crate) fn channel_sums<T: Element>(x: &[T], c: &Channels<T>, operands: Operands<T>) -> Vec<ChannelSums> {
    match c.relu {
        Some(_) => sums_of::<T, true>(x, c.coefficients(), operands),
        None => sums_of::<T, false>(x, c.coefficients(), operands),
    }
}

fn sums_of<T: Element, const RELU: bool>(x: &[T], k: [&[T]; 3], operands: Operands<T>) -> Vec<ChannelSums> {
    let n = k[0].len();
    let mut out = vec![ChannelSums::default(); n];
    let mut each =
        |f: &dyn Fn(usize, &mut ChannelSums)| out.iter_mut().enumerate().for_each(|(c, s)| f(c, s));
    match (operands.y_bar, operands.x_dot, operands.y_bar_dot) {
        (Some(y_bar), None, None) => {
            let v = reduce::channel_sums([x, y_bar], k, n, |[x, y_bar], [m, scale, shift]| {
                let z = x - m;
                let y_bar = rectified::<T, RELU>(y_bar, z, scale, shift);
                [y_bar, y_bar * z]
            });
            each(&|c, s| (s.y_bar, s.y_bar_z) = (v[0][c], v[1][c]));
        }
        (None, Some(x_dot), None) => {
            let v = reduce::channel_sums([x, x_dot], [k[0]], n, |[x, x_dot], [m]| [x_dot, x_dot * (x - m)]);
            each(&|c, s| (s.x_dot, s.x_dot_z) = (v[0][c], v[1][c]));
        }
        (Some(y_bar), None, Some(y_bar_dot)) => {
            let x = [x, y_bar, y_bar_dot];
            let v = reduce::channel_sums(x, k, n, |[x, y_bar, y_bar_dot], [m, scale, shift]| {
                let z = x - m;
                let [y_bar, y_bar_dot] = [y_bar, y_bar_dot].map(|v| rectified::<T, RELU>(v, z, scale, shift));
                [y_bar, y_bar * z, y_bar_dot, y_bar_dot * z]
            });
            each(&|c, s| {
                (s.y_bar, s.y_bar_z, s.y_bar_dot, s.y_bar_dot_z) = (v[0][c], v[1][c], v[2][c], v[3][c]);
            });
        }
        (Some(y_bar), Some(x_dot), None) => {
            let v = reduce::channel_sums([x, y_bar, x_dot], k, n, |[x, y_bar, x_dot], [m, scale, shift]| {
                let z = x - m;
                let y_bar = rectified::<T, RELU>(y_bar, z, scale, shift);
                [y_bar, y_bar * z, x_dot, x_dot * z, y_bar * x_dot]
            });
            each(&|c, s| {
                (s.y_bar, s.y_bar_z, s.x_dot, s.x_dot_z) = (v[0][c], v[1][c], v[2][c], v[3][c]);
                s.y_bar_x_dot = v[4][c];
            });
        }
        (Some(y_bar), Some(x_dot), Some(y_bar_dot)) => {
            let x = [x, y_bar, x_dot, y_bar_dot];
            let v = reduce::channel_sums(x, k, n, |[x, y_bar, x_dot, y_bar_dot], [m, scale, shift]| {
                let z = x - m;
                let [y_bar, y_bar_dot] = [y_bar, y_bar_dot].map(|v| rectified::<T, RELU>(v, z, scale, shift));
                [y_bar, y_bar * z, x_dot, x_dot * z, y_bar_dot, y_bar_dot * z, y_bar * x_dot]
            });
            each(&|c, s| {
                (s.y_bar, s.y_bar_z, s.x_dot, s.x_dot_z) = (v[0][c], v[1][c], v[2][c], v[3][c]);
                (s.y_bar_dot, s.y_bar_dot_z, s.y_bar_x_dot) = (v[4][c], v[5][c], v[6][c]);
            });
        }
        (None, _, Some(_)) | (None, None, None) => unreachable!("an adjoint-tangent comes with an adjoint"),
    }
    out
}

/// Coefficients per channel of the operands, of z, and a constant.
pub(crate) struct Coefficients<T> {
    y_bar: Vec<T>,
    y_bar_dot: Vec<T>,
    x_dot: Vec<T>,
    z: Vec<T>,
    constant: Vec<T>,
}

impl<T: Element> Coefficients<T> {
    /// From `f(channel)` = the coefficients of (ȳ, ȳ̇, ẋ, z, 1), in f64.
    pub(crate) fn new(channels: usize, f: impl Fn(usize) -> [f64; 5]) -> Self {
        let zeros = || vec![T::ZERO; channels];
        let mut k = Coefficients {
            y_bar: zeros(),
            y_bar_dot: zeros(),
            x_dot: zeros(),
            z: zeros(),
            constant: zeros(),
        };
        for c in 0..channels {
            [k.y_bar[c], k.y_bar_dot[c], k.x_dot[c], k.z[c], k.constant[c]] = f(c).map(T::from_f64);
        }
        k
    }
}

/// out = k_ȳ·ȳ + k_ẋ·ẋ + k_ȳ̇·ȳ̇ + k_z·z + k₁, without the operands that are not there. Without ȳ it is a tangent, which passes the
/// rectifier as a whole.
pub(crate) fn combine<T: Element>(
    out: &mut [T],
    x: &[T],
    c: &Channels<T>,
    operands: Operands<T>,
    k: &Coefficients<T>,
) {
    match c.relu {
        Some(_) => combine_of::<T, true>(out, x, c.coefficients(), operands, k),
        None => combine_of::<T, false>(out, x, c.coefficients(), operands, k),
    }
}

fn combine_of<T: Element, const RELU: bool>(
    out: &mut [T],
    x: &[T],
    [mean, scale, shift]: [&[T]; 3],
    operands: Operands<T>,
    k: &Coefficients<T>,
) {
    let n = mean.len();
    match (operands.y_bar, operands.x_dot, operands.y_bar_dot) {
        (Some(y_bar), None, None) => {
            let k = [&k.y_bar, &k.z, &k.constant, mean, scale, shift];
            map::per_channel(out, [x, y_bar], k, n, |[x, y_bar], [ky, kz, k1, m, scale, shift]| {
                let z = x - m;
                ky * rectified::<T, RELU>(y_bar, z, scale, shift) + kz * z + k1
            })
        }
        (None, Some(x_dot), None) => {
            let k = [&k.x_dot, &k.z, &k.constant, mean, scale, shift];
            map::per_channel(out, [x, x_dot], k, n, |[x, x_dot], [kx, kz, k1, m, scale, shift]| {
                let z = x - m;
                rectified::<T, RELU>(kx * x_dot + kz * z + k1, z, scale, shift)
            })
        }
        (None, None, None) => {
            let k = [&k.z, &k.constant, mean, scale, shift];
            map::per_channel(out, [x], k, n, |[x], [kz, k1, m, scale, shift]| {
                let z = x - m;
                rectified::<T, RELU>(kz * z + k1, z, scale, shift)
            })
        }
        (Some(y_bar), Some(x_dot), Some(y_bar_dot)) => {
            let x = [x, y_bar, x_dot, y_bar_dot];
            let k = [&k.y_bar, &k.x_dot, &k.y_bar_dot, &k.z, &k.constant, mean, scale, shift];
            map::per_channel(
                out,
                x,
                k,
                n,
                |[x, y_bar, x_dot, y_bar_dot], [ky, kx, kyd, kz, k1, m, scale, shift]| {
                    let z = x - m;
                    let [y_bar, y_bar_dot] =
                        [y_bar, y_bar_dot].map(|v| rectified::<T, RELU>(v, z, scale, shift));
                    ky * y_bar + kx * x_dot + kyd * y_bar_dot + kz * z + k1
                },
            );
        }
        (Some(y_bar), Some(v), None) | (Some(y_bar), None, Some(v)) => {
            // One of ẋ and ȳ̇, of which only the latter meets the rectifier.
            let is_adjoint = operands.y_bar_dot.is_some();
            let kv = if is_adjoint { &k.y_bar_dot } else { &k.x_dot };
            let k = [&k.y_bar, kv, &k.z, &k.constant, mean, scale, shift];
            map::per_channel(out, [x, y_bar, v], k, n, |[x, y_bar, v], [ky, kv, kz, k1, m, scale, shift]| {
                let z = x - m;
                let v = if is_adjoint { rectified::<T, RELU>(v, z, scale, shift) } else { v };
                ky * rectified::<T, RELU>(y_bar, z, scale, shift) + kv * v + kz * z + k1
            });
        }
        (None, _, Some(_)) => unreachable!("an adjoint-tangent comes with an adjoint"),
    }
}
