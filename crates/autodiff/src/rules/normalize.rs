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

/// The sums of ȳ (`a`), ẋ (`d`) and ȳ̇ (`b`) per channel, in one pass over what is present.
pub(crate) fn sums<T: Element>(x: &[T], mean: &[T], [a, d, b]: [Option<&[T]>; 3]) -> Vec<Sums> {
    let n = mean.len();
    let mut out = vec![Sums::default(); n];
    let mut each = |f: &dyn Fn(usize, &mut Sums)| out.iter_mut().enumerate().for_each(|(c, s)| f(c, s));
    match (a, d, b) {
        (Some(a), None, None) => {
            let v = reduce::channel_sums([x, a], [mean], n, |[x, a], [m]| [a, a * (x - m)]);
            each(&|c, t| (t.a, t.za) = (v[0][c], v[1][c]));
        }
        (None, Some(d), None) => {
            let v = reduce::channel_sums([x, d], [mean], n, |[x, d], [m]| [d, d * (x - m)]);
            each(&|c, t| (t.d, t.zd) = (v[0][c], v[1][c]));
        }
        (Some(a), None, Some(b)) => {
            let v =
                reduce::channel_sums([x, a, b], [mean], n, |[x, a, b], [m]| [a, a * (x - m), b, b * (x - m)]);
            each(&|c, t| (t.a, t.za, t.b, t.zb) = (v[0][c], v[1][c], v[2][c], v[3][c]));
        }
        (Some(a), Some(d), None) => {
            let v = reduce::channel_sums([x, a, d], [mean], n, |[x, a, d], [m]| {
                [a, a * (x - m), d, d * (x - m), a * d]
            });
            each(&|c, t| (t.a, t.za, t.d, t.zd, t.ad) = (v[0][c], v[1][c], v[2][c], v[3][c], v[4][c]));
        }
        (Some(a), Some(d), Some(b)) => {
            let v = reduce::channel_sums([x, a, d, b], [mean], n, |[x, a, d, b], [m]| {
                let z = x - m;
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

/// out = a·ȳ + b·ȳ̇ + d·ẋ + z·(x−μ) + one, with what is absent left out.
pub(crate) fn combine<T: Element>(
    out: &mut [T],
    x: &[T],
    mean: &[T],
    [a, d, b]: [Option<&[T]>; 3],
    k: &Coefficients<T>,
) {
    let n = mean.len();
    match (a, d, b) {
        (Some(a), None, None) => {
            map::per_channel(out, [x, a], [&k.a, &k.z, &k.one, mean], n, |[x, a], [ka, kz, k1, m]| {
                ka * a + kz * (x - m) + k1
            })
        }
        (None, Some(d), None) => {
            map::per_channel(out, [x, d], [&k.d, &k.z, &k.one, mean], n, |[x, d], [kd, kz, k1, m]| {
                kd * d + kz * (x - m) + k1
            })
        }
        (None, None, None) => {
            map::per_channel(out, [x], [&k.z, &k.one, mean], n, |[x], [kz, k1, m]| kz * (x - m) + k1)
        }
        (a, d, b) => {
            // The rest are few: x stands in for what is absent, its coefficient zero.
            let zeros = vec![T::ZERO; n];
            let pick = |v: Option<&'_ [T]>, k: &[T]| if v.is_some() { k.to_vec() } else { zeros.clone() };
            let (ka, kd, kb) = (pick(a, &k.a), pick(d, &k.d), pick(b, &k.b));
            let arrays = [x, a.unwrap_or(x), d.unwrap_or(x), b.unwrap_or(x)];
            let f = |[x, a, d, b]: [T; 4], [ka, kd, kb, kz, k1, m]: [T; 6]| {
                ka * a + kd * d + kb * b + kz * (x - m) + k1
            };
            map::per_channel(out, arrays, [&ka, &kd, &kb, &k.z, &k.one, mean], n, f);
        }
    }
}
