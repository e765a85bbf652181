//! Normalization of each sample over groups of channels: LayerNorm, GroupNorm, InstanceNorm and RMSNorm (docs/algorithm.md §2).
//!
//! Per sample and group over its m elements, z = x−μ, s = 1/√(mean(z²)+ε), x̂ = sz, y = γx̂ + β, with γ and β per channel:
//!
//! ```text
//! ẏ  = γx̂̇ + γ̇x̂ + β̇        x̂̇ = s(ẋ − q₁ − x̂q₂),   q₁ = mean(ẋ), q₂ = mean(x̂ẋ)
//! x̄  = s(a − u − x̂v)       a = γȳ, u = mean(a), v = mean(x̂a)        γ̄ = Σ ȳx̂        β̄ = Σ ȳ
//! x̄̇ = ṡ(a − u − x̂v) + s(ȧ − w₁ − x̂̇v − x̂w₂)       ȧ = γ̇ȳ + γȳ̇,  ṡ = −s²q₂
//!       w₁ = mean(ȧ), w₂ = mean(x̂̇a + x̂ȧ)           γ̄̇ = Σ (ȳ̇x̂ + ȳx̂̇)      β̄̇ = Σ ȳ̇
//! ```
//!
//! RMSNorm takes μ = 0 and drops q₁, u and w₁.

use crate::op::{Bars, Context, Keep, Need, Op, Record, Saved};
use crate::rules::{Channels, Coefficients, Sums, combine, sums};
use sph_tensor::kernels::{map, reduce};
use sph_tensor::{Array, Element, Shape, ShapeError, by_samples};

const X: usize = 0;
const GAMMA: usize = 1;
const BETA: usize = 2;

/// How channels are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// This many groups of equal size; it divides the channels.
    Count(usize),
    /// Every channel is a group.
    PerChannel,
}

/// The op of a normalization by groups. Its inputs are x, γ and, when it is centered, β.
#[derive(Debug)]
pub struct GroupNormOp {
    pub(crate) name: &'static str,
    /// How channels are grouped.
    pub groups: Groups,
    /// Take the mean off; otherwise there is no shift β either.
    pub centered: bool,
    /// Added to the mean square.
    pub eps: f64,
}

/// Sizes of an application: samples, positions of a sample, channels, groups.
#[derive(Clone, Copy)]
struct Sizes {
    samples: usize,
    positions: usize,
    channels: usize,
    groups: usize,
}

impl Sizes {
    fn sample(&self) -> usize {
        self.positions * self.channels
    }

    /// Elements of a group.
    fn m(&self) -> f64 {
        (self.positions * self.channels / self.groups) as f64
    }

    fn group(&self, channel: usize) -> usize {
        channel * self.groups / self.channels
    }

    /// Σ over the channels of each group of `f(channel)`, over m.
    fn means(&self, f: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut out = vec![0.0; self.groups];
        (0..self.channels).for_each(|c| out[self.group(c)] += f(c) / self.m());
        out
    }
}

/// One sample: x, and per channel μ (of its group, in T) and s.
struct Sample<'a, T> {
    x: &'a [T],
    mean: Vec<T>,
    s: Vec<f64>,
}

/// What the rules found for one sample and probe.
struct Means {
    q1: Vec<f64>,
    q2: Vec<f64>,
    u: Vec<f64>,
    v: Vec<f64>,
}

impl GroupNormOp {
    fn sizes(&self, x: Shape) -> Sizes {
        let channels = x.last();
        let samples = x[0];
        let groups = match self.groups {
            Groups::Count(n) => n,
            Groups::PerChannel => channels,
        };
        Sizes { samples, positions: x.rows() / samples.max(1), channels, groups }
    }

    fn sample<'a, T: Element>(&self, r: &'a Record<T>, z: Sizes, n: usize) -> Sample<'a, T> {
        let row = |i: usize| &r.saved.at(i).as_slice()[n * z.groups..(n + 1) * z.groups];
        let (mean, s) = (row(2), row(3));
        Sample {
            x: &r.saved.at(0).as_slice()[n * z.sample()..(n + 1) * z.sample()],
            mean: (0..z.channels).map(|c| mean[z.group(c)]).collect(),
            s: (0..z.channels).map(|c| s[z.group(c)].to_f64()).collect(),
        }
    }

    fn means(&self, z: Sizes, sample_s: &[f64], gamma: &[f64], sums: &[Sums]) -> Means {
        let centered = |v: Vec<f64>| if self.centered { v } else { vec![0.0; z.groups] };
        Means {
            q1: centered(z.means(|c| sums[c].d)),
            q2: z.means(|c| sample_s[c] * sums[c].zd),
            u: centered(z.means(|c| gamma[c] * sums[c].a)),
            v: z.means(|c| gamma[c] * sample_s[c] * sums[c].za),
        }
    }

    /// x̄ into `out` and Σ over samples of (γ̄, β̄).
    fn adjoint<T: Element>(&self, r: &Record<T>, y_bar: &[T], out: Option<&mut [T]>) -> Vec<(f64, f64)> {
        let z = self.sizes(r.x[X]);
        let gamma = r.saved.at(1).to_f64();
        let parts = by_samples(out, z.samples, y_bar.len(), |samples, mut out| {
            let mut parameters = vec![(0.0, 0.0); z.channels];
            for (i, n) in samples.enumerate() {
                let sample = self.sample(r, z, n);
                let a = &y_bar[n * z.sample()..(n + 1) * z.sample()];
                let sums = sums(sample.x, &Channels::new(&sample.mean), [Some(a), None, None]);
                let t = self.means(z, &sample.s, &gamma, &sums);
                for c in 0..z.channels {
                    parameters[c].0 += sample.s[c] * sums[c].za;
                    parameters[c].1 += sums[c].a;
                }
                if let Some(out) = &mut out {
                    let k = Coefficients::new(z.channels, |c| {
                        let (s, g) = (sample.s[c], z.group(c));
                        [s * gamma[c], 0.0, 0.0, -s * s * t.v[g], -s * t.u[g]]
                    });
                    let out = &mut out[i * z.sample()..(i + 1) * z.sample()];
                    combine(out, sample.x, &Channels::new(&sample.mean), [Some(a), None, None], &k);
                }
            }
            parameters
        });
        add_up(parts, z.channels)
    }

    /// x̄̇ of one probe into `out` and Σ over samples of (γ̄̇, β̄̇).
    fn adjoint_tangent<T: Element>(
        &self,
        r: &Record<T>,
        x_dot: Option<&[T]>,
        gamma_dot: Option<&[T]>,
        y_bar: &[T],
        y_bar_dot: Option<&[T]>,
        out: Option<&mut [T]>,
    ) -> Vec<(f64, f64)> {
        let z = self.sizes(r.x[X]);
        let gamma = r.saved.at(1).to_f64();
        let gamma_dot = |c: usize| gamma_dot.map_or(0.0, |g| g[c].to_f64());
        let parts = by_samples(out, z.samples, 2 * y_bar.len(), |samples, mut out| {
            let mut parameters = vec![(0.0, 0.0); z.channels];
            for (i, n) in samples.enumerate() {
                let sample = self.sample(r, z, n);
                let arrays = [Some(y_bar), x_dot, y_bar_dot]
                    .map(|v| v.map(|v| &v[n * z.sample()..(n + 1) * z.sample()]));
                let sums = sums(sample.x, &Channels::new(&sample.mean), arrays);
                let t = self.means(z, &sample.s, &gamma, &sums);
                // Σ ȳx̂̇ of a channel.
                let a_xhat_dot = |c: usize| {
                    let (s, g) = (sample.s[c], z.group(c));
                    s * (sums[c].ad - t.q1[g] * sums[c].a - t.q2[g] * s * sums[c].za)
                };
                for c in 0..z.channels {
                    parameters[c].0 += sample.s[c] * sums[c].zb + a_xhat_dot(c);
                    parameters[c].1 += sums[c].b;
                }
                if let Some(out) = &mut out {
                    let w1 = z.means(|c| gamma_dot(c) * sums[c].a + gamma[c] * sums[c].b);
                    let w1 = if self.centered { w1 } else { vec![0.0; z.groups] };
                    let w2 = z.means(|c| {
                        gamma[c] * a_xhat_dot(c)
                            + sample.s[c] * (gamma_dot(c) * sums[c].za + gamma[c] * sums[c].zb)
                    });
                    let k = Coefficients::new(z.channels, |c| {
                        let (s, g) = (sample.s[c], z.group(c));
                        let (q1, q2, u, v) = (t.q1[g], t.q2[g], t.u[g], t.v[g]);
                        let s_dot = -s * s * q2;
                        let along_z = -s_dot * s * v + s * s * (s * q2 * v - w2[g]);
                        let constant = -s_dot * u - s * w1[g] + s * s * q1 * v;
                        [s_dot * gamma[c] + s * gamma_dot(c), s * gamma[c], -s * s * v, along_z, constant]
                    });
                    let out = &mut out[i * z.sample()..(i + 1) * z.sample()];
                    combine(out, sample.x, &Channels::new(&sample.mean), arrays, &k);
                }
            }
            parameters
        });
        add_up(parts, z.channels)
    }
}

/// Partial sums of (γ̄, β̄) in order.
fn add_up(parts: Vec<Vec<(f64, f64)>>, channels: usize) -> Vec<(f64, f64)> {
    let mut total = vec![(0.0, 0.0); channels];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(t, p)| *t = (t.0 + p.0, t.1 + p.1));
    }
    total
}

impl<T: Element> Op<T> for GroupNormOp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let channels = Shape::new(&[x[X].last()]);
        let fail = |reason: String| Err(ShapeError::new(self.name, reason, x));
        if x[X].rank() < 2
            || x[1..].iter().any(|p| *p != channels)
            || x.len() != 2 + usize::from(self.centered)
        {
            return fail("scale and shift do not match the channels".into());
        }
        let z = self.sizes(x[X]);
        if z.groups == 0 || !z.channels.is_multiple_of(z.groups) {
            return fail(format!("{} groups do not divide {} channels", z.groups, z.channels));
        }
        if self.centered && z.m() < 2.0 {
            return fail("a group of a single value has no variance".into());
        }
        Ok(x[X])
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Saved<T>) {
        let z = self.sizes(y);
        let (input, gamma) = (x[X].as_slice(), x[GAMMA].to_f64());
        let beta = x.get(BETA).map_or(vec![0.0; z.channels], |b| b.to_f64());
        let mut value = cx.array(y);
        let parts = by_samples(Some(value.make_mut()), z.samples, input.len(), |samples, out| {
            let out = out.unwrap_or_default();
            let mut found = Vec::new();
            for (i, n) in samples.enumerate() {
                let input = &input[n * z.sample()..(n + 1) * z.sample()];
                let (mean, var) = reduce::channel_moments(input, z.channels);
                let per_group = (z.channels / z.groups) as f64;
                let mut group_mean = vec![0.0; z.groups];
                if self.centered {
                    (0..z.channels).for_each(|c| group_mean[z.group(c)] += mean[c] / per_group);
                }
                // The mean square about the group's mean, from each channel's own.
                let mut square = vec![0.0; z.groups];
                for c in 0..z.channels {
                    let shift = mean[c] - group_mean[z.group(c)];
                    square[z.group(c)] += (var[c] + shift * shift) / per_group;
                }
                let s: Vec<f64> = square.iter().map(|v| 1.0 / (v + self.eps).sqrt()).collect();
                let k = |f: &dyn Fn(usize) -> f64| -> Vec<T> {
                    (0..z.channels).map(|c| T::from_f64(f(c))).collect()
                };
                let coefficients =
                    [k(&|c| gamma[c] * s[z.group(c)]), k(&|c| group_mean[z.group(c)]), k(&|c| beta[c])];
                let out = &mut out[i * z.sample()..(i + 1) * z.sample()];
                let [scale, mean, beta] = [&coefficients[0][..], &coefficients[1], &coefficients[2]];
                map::per_channel(out, [input], [scale, mean, beta], z.channels, |[x], [k, m, b]| {
                    k * (x - m) + b
                });
                found.extend(group_mean.into_iter().zip(s));
            }
            found
        });
        if !keep.any() {
            return (value, Saved::none());
        }
        let column = |f: fn(&(f64, f64)) -> f64| {
            let values: Vec<T> = parts.iter().flatten().map(|p| T::from_f64(f(p))).collect();
            Some(Array::from_slice(&cx.pool, Shape::new(&[z.samples, z.groups]), &values))
        };
        let (mean, s) = (column(|p| p.0), column(|p| p.1));
        (value, Saved::new([Some(x[X].clone()), Some(x[GAMMA].clone()), mean, s]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &Need) -> Bars<T> {
        let mut x_bar = need.has(X).then(|| cx.array(r.x[X]));
        let parameters = self.adjoint(r, y_bar.as_slice(), x_bar.as_mut().map(Array::make_mut));
        let parameter = |i: usize, f: fn(&(f64, f64)) -> f64| {
            let values: Vec<T> = parameters.iter().map(|p| T::from_f64(f(p))).collect();
            need.has(i).then(|| Array::from_slice(&cx.pool, r.x[i], &values))
        };
        let (gamma_bar, beta_bar) = (parameter(GAMMA, |p| p.0), parameter(BETA, |p| p.1));
        [x_bar, gamma_bar, beta_bar].into_iter().take(r.x.len()).collect()
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let z = self.sizes(r.x[X]);
        let gamma = r.saved.at(1).to_f64();
        cx.each_probe(r.y, |k, y_dot| {
            let part = |i: usize| x_dot.get(i).copied().flatten().map(|d| d.part(k));
            let dot = |i: usize, c: usize| part(i).map_or(0.0, |v| v[c].to_f64());
            by_samples(Some(y_dot), z.samples, r.y.len(), |samples, out| {
                let out = out.unwrap_or_default();
                for (i, n) in samples.enumerate() {
                    let sample = self.sample(r, z, n);
                    let d = part(X).map(|d| &d[n * z.sample()..(n + 1) * z.sample()]);
                    let sums = match d {
                        Some(_) => sums(sample.x, &Channels::new(&sample.mean), [None, d, None]),
                        None => vec![Sums::default(); z.channels],
                    };
                    let t = self.means(z, &sample.s, &gamma, &sums);
                    let k = Coefficients::new(z.channels, |c| {
                        let (s, g) = (sample.s[c], z.group(c));
                        let along_z = s * (dot(GAMMA, c) - gamma[c] * s * t.q2[g]);
                        [0.0, 0.0, s * gamma[c], along_z, dot(BETA, c) - gamma[c] * s * t.q1[g]]
                    });
                    let out = &mut out[i * z.sample()..(i + 1) * z.sample()];
                    combine(out, sample.x, &Channels::new(&sample.mean), [None, d, None], &k);
                }
            });
        })
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &Need,
    ) -> Bars<T> {
        let mut out: Bars<T> = (0..r.x.len()).map(|i| need.has(i).then(|| cx.tangent(r.x[i]))).collect();
        for k in 0..cx.probes {
            let part = |i: usize| x_dot[i].map(|d| d.part(k));
            let n = r.x[X].len();
            let x_out = out[X].as_mut().map(|o| &mut o.make_mut()[k * n..(k + 1) * n]);
            let b = y_bar_dot.map(|d| d.part(k));
            let parameters = self.adjoint_tangent(r, part(X), part(GAMMA), y_bar.as_slice(), b, x_out);
            for (i, out) in out.iter_mut().enumerate().skip(GAMMA) {
                let Some(out) = out else { continue };
                let row = &mut out.make_mut()[k * parameters.len()..(k + 1) * parameters.len()];
                let pick = |p: &(f64, f64)| if i == GAMMA { p.0 } else { p.1 };
                row.iter_mut().zip(&parameters).for_each(|(o, p)| *o = T::from_f64(pick(p)));
            }
        }
        out
    }
}
