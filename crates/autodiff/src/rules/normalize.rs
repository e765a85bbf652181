//! What all normalizations share: their rules are linear in z = x−μ, ẋ, ȳ and ȳ̇ with coefficients per channel, found from
//! sums over each channel.

use sph_tensor::Element;
use sph_tensor::kernels::{map, reduce};

/// Sums over a channel of ȳ, zȳ, ẋ, zẋ, ȳ̇, zȳ̇ and ȳẋ; zero for what is absent.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) a: f64,
    pub(crate) za: f64,
    pub(crate) d: f64,
    pub(crate) zd: f64,
    pub(crate) b: f64,
    pub(crate) zb: f64,
    pub(crate) ad: f64,
}

/// What the rules know of each channel.
#[derive(Clone, Copy)]
pub(crate) struct Channels<'a, T> {
    /// μ.
    pub(crate) mean: &'a [T],
    /// A rectifier follows: where `scale`·(x−μ) + `shift` is not positive, ȳ and ȳ̇ count as zero, and so do tangents.
    pub(crate) relu: Option<[&'a [T]; 2]>,
}

impl<'a, T> Channels<'a, T> {
    /// Nothing follows.
    pub(crate) fn new(mean: &'a [T]) -> Self {
        Channels { mean, relu: None }
    }

    /// μ, and the rectifier's scale and shift (anything, where there is none).
    fn coefficients(&self) -> [&'a [T]; 3] {
        let [scale, shift] = self.relu.unwrap_or([self.mean; 2]);
        [self.mean, scale, shift]
    }
}

/// v where the rectifier passes, else zero. A constant decides whether there is one.
#[inline(always)]
fn pass<T: Element, const RELU: bool>(v: T, z: T, scale: T, shift: T) -> T {
    if !RELU || scale * z + shift > T::ZERO { v } else { T::ZERO }
}

/// The sums of ȳ (`a`), ẋ (`d`) and ȳ̇ (`b`) per channel, in one pass over what is present.
pub(crate) fn sums<T: Element>(x: &[T], c: &Channels<T>, arrays: [Option<&[T]>; 3]) -> Vec<Sums> {
    match c.relu {
        Some(_) => sums_of::<T, true>(x, c.coefficients(), arrays),
        None => sums_of::<T, false>(x, c.coefficients(), arrays),
    }
}

fn sums_of<T: Element, const RELU: bool>(x: &[T], k: [&[T]; 3], [a, d, b]: [Option<&[T]>; 3]) -> Vec<Sums> {
    let n = k[0].len();
    let mut out = vec![Sums::default(); n];
    let mut each = |f: &dyn Fn(usize, &mut Sums)| out.iter_mut().enumerate().for_each(|(c, s)| f(c, s));
    match (a, d, b) {
        (Some(a), None, None) => {
            let v = reduce::channel_sums([x, a], k, n, |[x, a], [m, scale, shift]| {
                let z = x - m;
                let a = pass::<T, RELU>(a, z, scale, shift);
                [a, a * z]
            });
            each(&|c, t| (t.a, t.za) = (v[0][c], v[1][c]));
        }
        (None, Some(d), None) => {
            let v = reduce::channel_sums([x, d], [k[0]], n, |[x, d], [m]| [d, d * (x - m)]);
            each(&|c, t| (t.d, t.zd) = (v[0][c], v[1][c]));
        }
        (Some(a), None, Some(b)) => {
            let v = reduce::channel_sums([x, a, b], k, n, |[x, a, b], [m, scale, shift]| {
                let z = x - m;
                let [a, b] = [a, b].map(|v| pass::<T, RELU>(v, z, scale, shift));
                [a, a * z, b, b * z]
            });
            each(&|c, t| (t.a, t.za, t.b, t.zb) = (v[0][c], v[1][c], v[2][c], v[3][c]));
        }
        (Some(a), Some(d), None) => {
            let v = reduce::channel_sums([x, a, d], k, n, |[x, a, d], [m, scale, shift]| {
                let z = x - m;
                let a = pass::<T, RELU>(a, z, scale, shift);
                [a, a * z, d, d * z, a * d]
            });
            each(&|c, t| (t.a, t.za, t.d, t.zd, t.ad) = (v[0][c], v[1][c], v[2][c], v[3][c], v[4][c]));
        }
        (Some(a), Some(d), Some(b)) => {
            let v = reduce::channel_sums([x, a, d, b], k, n, |[x, a, d, b], [m, scale, shift]| {
                let z = x - m;
                let [a, b] = [a, b].map(|v| pass::<T, RELU>(v, z, scale, shift));
                [a, a * z, d, d * z, b, b * z, a * d]
            });
            each(&|c, t| {
                (t.a, t.za, t.d, t.zd) = (v[0][c], v[1][c], v[2][c], v[3][c]);
                (t.b, t.zb, t.ad) = (v[4][c], v[5][c], v[6][c]);
            });
        }
        (None, _, Some(_)) | (None, None, None) => unreachable!("an adjoint-tangent comes with an adjoint"),
    }
    out
}

/// Per-channel coefficients of ȳ, ȳ̇, ẋ, z, and a constant.
pub(crate) struct Coefficients<T> {
    a: Vec<T>,
    b: Vec<T>,
    d: Vec<T>,
    z: Vec<T>,
    one: Vec<T>,
}

impl<T: Element> Coefficients<T> {
    /// From `f(channel)` = coefficients of (ȳ, ȳ̇, ẋ, z, 1), computed in f64.
    pub(crate) fn new(channels: usize, f: impl Fn(usize) -> [f64; 5]) -> Self {
        let zeros = || vec![T::ZERO; channels];
        let mut k = Coefficients { a: zeros(), b: zeros(), d: zeros(), z: zeros(), one: zeros() };
        for c in 0..channels {
            let [a, b, d, z, one] = f(c).map(T::from_f64);
            (k.a[c], k.b[c], k.d[c], k.z[c], k.one[c]) = (a, b, d, z, one);
        }
        k
    }
}

/// out = a·ȳ + b·ȳ̇ + d·ẋ + z·(x−μ) + one, with what is absent left out. Without ȳ it is a tangent, which the rectifier passes
/// or not.
pub(crate) fn combine<T: Element>(
    out: &mut [T],
    x: &[T],
    c: &Channels<T>,
    arrays: [Option<&[T]>; 3],
    k: &Coefficients<T>,
) {
    match c.relu {
        Some(_) => combine_of::<T, true>(out, x, c.coefficients(), arrays, k),
        None => combine_of::<T, false>(out, x, c.coefficients(), arrays, k),
    }
}

fn combine_of<T: Element, const RELU: bool>(
    out: &mut [T],
    x: &[T],
    c: [&[T]; 3],
    [a, d, b]: [Option<&[T]>; 3],
    k: &Coefficients<T>,
) {
    let [mean, scale, shift] = c;
    let n = mean.len();
    match (a, d, b) {
        (Some(a), None, None) => {
            let k = [&k.a, &k.z, &k.one, mean, scale, shift];
            map::per_channel(out, [x, a], k, n, |[x, a], [ka, kz, k1, m, scale, shift]| {
                let z = x - m;
                ka * pass::<T, RELU>(a, z, scale, shift) + kz * z + k1
            })
        }
        (None, Some(d), None) => {
            let k = [&k.d, &k.z, &k.one, mean, scale, shift];
            map::per_channel(out, [x, d], k, n, |[x, d], [kd, kz, k1, m, scale, shift]| {
                let z = x - m;
                pass::<T, RELU>(kd * d + kz * z + k1, z, scale, shift)
            })
        }
        (None, None, None) => {
            let k = [&k.z, &k.one, mean, scale, shift];
            map::per_channel(out, [x], k, n, |[x], [kz, k1, m, scale, shift]| {
                let z = x - m;
                pass::<T, RELU>(kz * z + k1, z, scale, shift)
            })
        }
        (Some(a), Some(d), Some(b)) => {
            let k = [&k.a, &k.d, &k.b, &k.z, &k.one, mean, scale, shift];
            map::per_channel(
                out,
                [x, a, d, b],
                k,
                n,
                |[x, a, d, b], [ka, kd, kb, kz, k1, m, scale, shift]| {
                    let z = x - m;
                    let [a, b] = [a, b].map(|v| pass::<T, RELU>(v, z, scale, shift));
                    ka * a + kd * d + kb * b + kz * z + k1
                },
            );
        }
        (Some(a), Some(v), None) | (Some(a), None, Some(v)) => {
            // One of ẋ and ȳ̇, of which only the latter meets the rectifier.
            let is_adjoint = b.is_some();
            let kv = if is_adjoint { &k.b } else { &k.d };
            let k = [&k.a, kv, &k.z, &k.one, mean, scale, shift];
            map::per_channel(out, [x, a, v], k, n, |[x, a, v], [ka, kv, kz, k1, m, scale, shift]| {
                let z = x - m;
                let v = if is_adjoint { pass::<T, RELU>(v, z, scale, shift) } else { v };
                ka * pass::<T, RELU>(a, z, scale, shift) + kv * v + kz * z + k1
            });
        }
        (None, _, Some(_)) => unreachable!("an adjoint-tangent comes with an adjoint"),
    }
}
