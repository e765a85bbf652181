//! Normalization of each sample over groups of channels: LayerNorm, GroupNorm, InstanceNorm and RMSNorm. Equations and symbols are those of
//! `normalize.rs`; a set is a group of channels of one sample, over all its positions.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::rules::{BETA, ChannelSums, Channels, Coefficients, GAMMA, Operands, X, channel_sums, combine};
use sph_tensor::kernels::{map, reduce};
use sph_tensor::{Array, Element, Shape, ShapeError, by_samples};
use std::ops::Range;

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

/// The sizes of one application.
#[derive(Clone, Copy)]
struct Sizes {
    samples: usize,
    /// Positions of a sample: the product of the axes between the first and the last.
    positions: usize,
    channels: usize,
    groups: usize,
}

impl Sizes {
    /// Elements of a sample.
    fn sample(&self) -> usize {
        self.positions * self.channels
    }

    /// Where sample `n` lies in an array.
    fn range(&self, n: usize) -> Range<usize> {
        n * self.sample()..(n + 1) * self.sample()
    }

    /// m, the elements of a group.
    fn m(&self) -> f64 {
        (self.positions * self.channels / self.groups) as f64
    }

    /// The group of a channel.
    fn group(&self, channel: usize) -> usize {
        channel * self.groups / self.channels
    }

    /// Of each group, the sum over its channels of `f(channel)`, divided by m.
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

/// q₁, q₂, u and v of each group of a sample; zero where an operand is not there.
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

    fn sample<'a, T: Element>(&self, r: &'a Record<T>, size: Sizes, n: usize) -> Sample<'a, T> {
        let row = |i: usize| &r.residuals.at(i).as_slice()[n * size.groups..(n + 1) * size.groups];
        let (mean, s) = (row(2), row(3));
        Sample {
            x: &r.residuals.at(0).as_slice()[size.range(n)],
            mean: (0..size.channels).map(|c| mean[size.group(c)]).collect(),
            s: (0..size.channels).map(|c| s[size.group(c)].to_f64()).collect(),
        }
    }

    fn means(&self, size: Sizes, s: &[f64], gamma: &[f64], sums: &[ChannelSums]) -> Means {
        let centered = |v: Vec<f64>| if self.centered { v } else { vec![0.0; size.groups] };
        Means {
            q1: centered(size.means(|c| sums[c].x_dot)),
            q2: size.means(|c| s[c] * sums[c].x_dot_z),
            u: centered(size.means(|c| gamma[c] * sums[c].y_bar)),
            v: size.means(|c| gamma[c] * s[c] * sums[c].y_bar_z),
        }
    }

    /// Writes x̄ into `out`; (γ̄, β̄) of each channel.
    fn adjoint<T: Element>(&self, r: &Record<T>, y_bar: &[T], out: Option<&mut [T]>) -> Vec<(f64, f64)> {
        let size = self.sizes(r.x[X]);
        let gamma = r.residuals.at(1).to_f64();
        let parts = by_samples(out, size.samples, y_bar.len(), |samples, mut out| {
            let mut parameters = vec![(0.0, 0.0); size.channels];
            for (i, n) in samples.enumerate() {
                let sample = self.sample(r, size, n);
                let channels = Channels::new(&sample.mean);
                let operands = Operands::adjoint(&y_bar[size.range(n)]);
                let sums = channel_sums(sample.x, &channels, operands);
                let means = self.means(size, &sample.s, &gamma, &sums);
                for c in 0..size.channels {
                    parameters[c].0 += sums[c].gamma_bar(sample.s[c]);
                    parameters[c].1 += sums[c].y_bar;
                }
                if let Some(out) = &mut out {
                    let k = Coefficients::new(size.channels, |c| {
                        let (s, g) = (sample.s[c], size.group(c));
                        [s * gamma[c], 0.0, 0.0, -s * s * means.v[g], -s * means.u[g]]
                    });
                    combine(&mut out[size.range(i)], sample.x, &channels, operands, &k);
                }
            }
            parameters
        });
        add_up(parts, size.channels)
    }

    /// Writes x̄̇ of one probe into `out`; (γ̄̇, β̄̇) of each channel.
    fn adjoint_tangent<T: Element>(
        &self,
        r: &Record<T>,
        operands: Operands<T>,
        gamma_dot: Option<&[T]>,
        out: Option<&mut [T]>,
    ) -> Vec<(f64, f64)> {
        let size = self.sizes(r.x[X]);
        let gamma = r.residuals.at(1).to_f64();
        let gamma_dot = |c: usize| gamma_dot.map_or(0.0, |g| g[c].to_f64());
        let parts = by_samples(out, size.samples, 2 * r.y.len(), |samples, mut out| {
            let mut parameters = vec![(0.0, 0.0); size.channels];
            for (i, n) in samples.enumerate() {
                let sample = self.sample(r, size, n);
                let channels = Channels::new(&sample.mean);
                let operands = operands.part(size.range(n));
                let sums = channel_sums(sample.x, &channels, operands);
                let means = self.means(size, &sample.s, &gamma, &sums);
                let q = |c: usize| (means.q1[size.group(c)], means.q2[size.group(c)]);
                for c in 0..size.channels {
                    parameters[c].0 += sums[c].gamma_bar_dot(sample.s[c], q(c));
                    parameters[c].1 += sums[c].y_bar_dot;
                }
                if let Some(out) = &mut out {
                    let w1 = size.means(|c| gamma_dot(c) * sums[c].y_bar + gamma[c] * sums[c].y_bar_dot);
                    let w1 = if self.centered { w1 } else { vec![0.0; size.groups] };
                    let w2 = size.means(|c| {
                        gamma[c] * sums[c].y_bar_x_hat_dot(sample.s[c], q(c))
                            + sample.s[c] * (gamma_dot(c) * sums[c].y_bar_z + gamma[c] * sums[c].y_bar_dot_z)
                    });
                    let k = Coefficients::new(size.channels, |c| {
                        let (s, g) = (sample.s[c], size.group(c));
                        let ((q1, q2), u, v) = (q(c), means.u[g], means.v[g]);
                        let s_dot = -s * s * q2;
                        let along_z = -s_dot * s * v + s * s * (s * q2 * v - w2[g]);
                        let constant = -s_dot * u - s * w1[g] + s * s * q1 * v;
                        [s_dot * gamma[c] + s * gamma_dot(c), s * gamma[c], -s * s * v, along_z, constant]
                    });
                    combine(&mut out[size.range(i)], sample.x, &channels, operands, &k);
                }
            }
            parameters
        });
        add_up(parts, size.channels)
    }
}

/// The sum of (γ̄, β̄) over parts of the batch, in order.
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
        let size = self.sizes(x[X]);
        if size.groups == 0 || !size.channels.is_multiple_of(size.groups) {
            return fail(format!("{} groups do not divide {} channels", size.groups, size.channels));
        }
        if self.centered && size.m() < 2.0 {
            return fail("a group of a single value has no variance".into());
        }
        Ok(x[X])
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let size = self.sizes(y);
        let (input, gamma) = (x[X].as_slice(), x[GAMMA].to_f64());
        let beta = x.get(BETA).map_or(vec![0.0; size.channels], |b| b.to_f64());
        let mut value = cx.array(y);
        let parts = by_samples(Some(value.make_mut()), size.samples, input.len(), |samples, out| {
            let out = out.unwrap_or_default();
            let mut moments = Vec::new();
            for (i, n) in samples.enumerate() {
                let input = &input[size.range(n)];
                let (mean, var) = reduce::channel_moments(input, size.channels);
                let per_group = (size.channels / size.groups) as f64;
                let mut group_mean = vec![0.0; size.groups];
                if self.centered {
                    (0..size.channels).for_each(|c| group_mean[size.group(c)] += mean[c] / per_group);
                }
                // The mean square about the group's mean, from each channel's own.
                let mut square = vec![0.0; size.groups];
                for c in 0..size.channels {
                    let shift = mean[c] - group_mean[size.group(c)];
                    square[size.group(c)] += (var[c] + shift * shift) / per_group;
                }
                let s: Vec<f64> = square.iter().map(|v| 1.0 / (v + self.eps).sqrt()).collect();
                let k = |f: &dyn Fn(usize) -> f64| -> Vec<T> {
                    (0..size.channels).map(|c| T::from_f64(f(c))).collect()
                };
                let coefficients =
                    [k(&|c| gamma[c] * s[size.group(c)]), k(&|c| group_mean[size.group(c)]), k(&|c| beta[c])];
                let out = &mut out[size.range(i)];
                let [scale, mean, beta] = [&coefficients[0][..], &coefficients[1], &coefficients[2]];
                map::per_channel(out, [input], [scale, mean, beta], size.channels, |[x], [k, m, b]| {
                    k * (x - m) + b
                });
                moments.extend(group_mean.into_iter().zip(s));
            }
            moments
        });
        if !keep.any() {
            return (value, Residuals::none());
        }
        let column = |f: fn(&(f64, f64)) -> f64| {
            let values: Vec<T> = parts.iter().flatten().map(|p| T::from_f64(f(p))).collect();
            Some(Array::from_slice(&cx.pool, Shape::new(&[size.samples, size.groups]), &values))
        };
        let (mean, s) = (column(|p| p.0), column(|p| p.1));
        (value, Residuals::new([Some(x[X].clone()), Some(x[GAMMA].clone()), mean, s]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
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
        let size = self.sizes(r.x[X]);
        let gamma = r.residuals.at(1).to_f64();
        cx.each_probe(r.y, |k, y_dot| {
            let part = |i: usize| x_dot.get(i).copied().flatten().map(|d| d.part(k));
            let dot = |i: usize, c: usize| part(i).map_or(0.0, |v| v[c].to_f64());
            by_samples(Some(y_dot), size.samples, r.y.len(), |samples, out| {
                let out = out.unwrap_or_default();
                for (i, n) in samples.enumerate() {
                    let sample = self.sample(r, size, n);
                    let channels = Channels::new(&sample.mean);
                    let operands = Operands::tangent(part(X)).part(size.range(n));
                    let sums = match operands.x_dot {
                        Some(_) => channel_sums(sample.x, &channels, operands),
                        None => vec![ChannelSums::default(); size.channels],
                    };
                    let means = self.means(size, &sample.s, &gamma, &sums);
                    let k = Coefficients::new(size.channels, |c| {
                        let (s, g) = (sample.s[c], size.group(c));
                        let along_z = s * (dot(GAMMA, c) - gamma[c] * s * means.q2[g]);
                        [0.0, 0.0, s * gamma[c], along_z, dot(BETA, c) - gamma[c] * s * means.q1[g]]
                    });
                    combine(&mut out[size.range(i)], sample.x, &channels, operands, &k);
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
        need: &InputSet,
    ) -> PerInput<T> {
        let mut out: PerInput<T> = (0..r.x.len()).map(|i| need.has(i).then(|| cx.tangent(r.x[i]))).collect();
        for k in 0..cx.probes {
            let part = |i: usize| x_dot[i].map(|d| d.part(k));
            let n = r.x[X].len();
            let x_out = out[X].as_mut().map(|o| &mut o.make_mut()[k * n..(k + 1) * n]);
            let operands = Operands {
                y_bar: Some(y_bar.as_slice()),
                x_dot: part(X),
                y_bar_dot: y_bar_dot.map(|d| d.part(k)),
            };
            let parameters = self.adjoint_tangent(r, operands, part(GAMMA), x_out);
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
