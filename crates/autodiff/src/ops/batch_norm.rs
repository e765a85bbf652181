//! Batch normalization over all axes but the last (seed eq. 1 and 2). The derivation and the symbols are those of `rules/normalize.rs`; a set
//! is a channel of the batch.
//!
//! γ is one number per set and comes out of its means. Here u, v, w₁ and w₂ are those of ȳ and ȳ̇ themselves, not of a = γȳ and ȧ:
//!
//! ```text
//! x̄  = γs(ȳ − u − x̂v)
//! x̄̇ = (γ̇s + γṡ)(ȳ − u − x̂v) + γs(ȳ̇ − w₁ − x̂̇v − x̂w₂)
//! ```
//!
//! A rectifier may follow, and a shortcut r be added before it: h = max(y + r, 0). Then ȳ = [h > 0] h̄ = r̄, ȳ̇ = [h > 0] h̄̇ = r̄̇, and
//! ḣ = [h > 0](ẏ + ṙ). Without a shortcut the sign of h is computed from x again, which saves a pass over memory.
//!
//! In evaluation mode μ and s are constants: q₁ = q₂ = u = v = w₁ = w₂ = 0 outside the parameters' rules.

use crate::extensions::{BatchStatistics, Extensions, Statistics};
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, norm_inputs, normal};
use crate::rules::{BETA, ChannelSums, Channels, Coefficients, GAMMA, Operands, X, channel_sums, combine};
use sph_tensor::kernels::{map, reduce};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// The position of r among the inputs; it may be absent.
const SHORTCUT: usize = 3;

/// Where mean and variance come from.
#[derive(Debug, Clone)]
pub enum Moments {
    /// The batch (training mode).
    Batch {
        /// The number of the running averages that its statistics are for; `None` when nobody wants them.
        slot: Option<usize>,
    },
    /// Running averages (evaluation mode).
    Running {
        /// Mean per channel.
        mean: Vec<f64>,
        /// Variance per channel.
        var: Vec<f64>,
    },
}

/// Batch normalization; made by [`batch_norm`].
#[derive(Debug)]
pub struct BatchNorm {
    /// Where mean and variance come from.
    pub moments: Moments,
    /// Added to the variance.
    pub eps: f64,
    /// A rectifier follows.
    pub relu: bool,
}

impl BatchNorm {
    /// With a rectifier behind it, and before that the sum with a fourth input, if there is one: a shortcut of x's shape. One op takes
    /// fewer passes over memory than three.
    pub fn relu(self) -> Self {
        BatchNorm { relu: true, ..self }
    }
}

/// Normalizes x of shape (…, C) with γ and β of C entries; `eps` is added to the variance.
pub fn batch_norm(moments: Moments, eps: f64) -> BatchNorm {
    BatchNorm { moments, eps, relu: false }
}

/// The residuals of one application: x, and γ, μ and s per channel.
struct BatchNormResiduals<'a, T: Element> {
    x: &'a [T],
    gamma: &'a [T],
    per_channel: Channels<'a, T>,
    s: &'a [T],
    /// h, where a shortcut was added: its sign cannot be computed from x.
    h: Option<&'a Array<T>>,
    /// 1/m in training mode. 0 in evaluation mode, where all means of the rules are 0.
    one_over_m: f64,
    channels: usize,
}

impl BatchNorm {
    fn named_residuals<'a, T: Element>(&self, r: &'a Record<T>) -> BatchNormResiduals<'a, T> {
        let m = r.x[X].rows() as f64;
        let at = |i: usize| r.residuals.at(i).as_slice();
        let shortcut = r.x.len() > SHORTCUT;
        let relu = (self.relu && !shortcut).then(|| [at(4), at(5)]);
        BatchNormResiduals {
            x: at(0),
            gamma: at(1),
            per_channel: Channels { mean: at(2), relu },
            s: at(3),
            h: shortcut.then(|| r.residuals.at(4)),
            one_over_m: if matches!(self.moments, Moments::Batch { .. }) { 1.0 / m } else { 0.0 },
            channels: r.x[X].last(),
        }
    }
}

impl<'a, T: Element> BatchNormResiduals<'a, T> {
    /// f(c) of every channel, computed in f64.
    fn each_channel(&self, f: impl Fn(usize) -> f64) -> Vec<T> {
        (0..self.channels).map(|c| T::from_f64(f(c))).collect()
    }

    /// γ and s of channel `c`.
    fn gamma_s(&self, c: usize) -> (f64, f64) {
        (self.gamma[c].to_f64(), self.s[c].to_f64())
    }

    /// q₁ and q₂ of a channel with the given s.
    fn q(&self, sums: &ChannelSums, s: f64) -> (f64, f64) {
        (sums.x_dot * self.one_over_m, s * sums.x_dot_z * self.one_over_m)
    }

    /// u and v of a channel with the given s.
    fn uv(&self, sums: &ChannelSums, s: f64) -> (f64, f64) {
        (sums.y_bar * self.one_over_m, s * sums.y_bar_z * self.one_over_m)
    }

    /// ȳ from h̄, or ȳ̇ from h̄̇ with its `probes`, where a shortcut was added. Elsewhere h̄ itself: [`channel_sums`] and [`combine`] then
    /// find the sign of h.
    fn before_shortcut(&self, cx: &Context<T>, h_bar: &Array<T>, probes: usize) -> Array<T> {
        let Some(h) = self.h else { return h_bar.clone() };
        let mut y_bar = cx.array(h_bar.shape());
        let n = h_bar.as_slice().len() / probes.max(1);
        for (k, out) in y_bar.make_mut().chunks_exact_mut(n.max(1)).enumerate() {
            let h_bar = &h_bar.as_slice()[k * n..(k + 1) * n];
            map::binary(out, h_bar, h.as_slice(), positive);
        }
        y_bar
    }

    /// The sums of every channel.
    fn sums(&self, operands: Operands<T>) -> Vec<ChannelSums> {
        channel_sums(self.x, &self.per_channel, operands)
    }

    /// x̄, γ̄, β̄ and r̄ from the sums of ȳ.
    fn vjp(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        y_bar: &Array<T>,
        sums: &[ChannelSums],
        need: &InputSet,
    ) -> PerInput<T> {
        let x_bar = need.has(X).then(|| {
            let mut x_bar = cx.array(r.x[X]);
            let k = Coefficients::new(self.channels, |c| {
                let (gamma, s) = self.gamma_s(c);
                let (u, v) = self.uv(&sums[c], s);
                [gamma * s, 0.0, 0.0, -gamma * s * s * v, -gamma * s * u]
            });
            combine(x_bar.make_mut(), self.x, &self.per_channel, Operands::adjoint(y_bar.as_slice()), &k);
            x_bar
        });
        let parameter = |i: usize, f: &dyn Fn(usize) -> f64| {
            need.has(i).then(|| Array::from_slice(&cx.pool, r.x[i], &self.each_channel(f)))
        };
        let gamma_bar = parameter(GAMMA, &|c| sums[c].gamma_bar(self.gamma_s(c).1));
        let beta_bar = parameter(BETA, &|c| sums[c].y_bar);
        let shortcut = need.has(SHORTCUT).then(|| y_bar.clone());
        [x_bar, gamma_bar, beta_bar, shortcut].into_iter().take(r.x.len()).collect()
    }

    /// Writes x̄̇, γ̄̇ and β̄̇ of one probe into those of `out` that are there.
    fn vjp_tangent(
        &self,
        operands: Operands<T>,
        gamma_dot: Option<&[T]>,
        sums: &[ChannelSums],
        out: [Option<&mut [T]>; 3],
    ) {
        let [x_out, gamma_out, beta_out] = out;
        let gamma_bar_dot = |c: usize| {
            let s = self.gamma_s(c).1;
            sums[c].gamma_bar_dot(s, self.q(&sums[c], s))
        };
        if let Some(out) = gamma_out {
            out.copy_from_slice(&self.each_channel(gamma_bar_dot));
        }
        if let Some(out) = beta_out {
            out.copy_from_slice(&self.each_channel(|c| sums[c].y_bar_dot));
        }
        let Some(out) = x_out else { return };
        let k = Coefficients::new(self.channels, |c| {
            let (gamma, s) = self.gamma_s(c);
            let ((q1, q2), (u, v)) = (self.q(&sums[c], s), self.uv(&sums[c], s));
            let gamma_dot = gamma_dot.map_or(0.0, |g| g[c].to_f64());
            let (w1, w2) = (sums[c].y_bar_dot * self.one_over_m, gamma_bar_dot(c) * self.one_over_m);
            // The coefficient of ȳ is γ̇s + γṡ.
            let along_y_bar = gamma_dot * s - gamma * s * s * q2;
            let along_z = s * (-along_y_bar * v + gamma * s * (s * v * q2 - w2));
            let constant = -along_y_bar * u + gamma * s * (s * v * q1 - w1);
            [along_y_bar, gamma * s, -gamma * s * s * v, along_z, constant]
        });
        combine(out, self.x, &self.per_channel, operands, &k);
    }
}

/// v where h is positive, else zero.
#[inline(always)]
fn positive<T: Element>(v: T, h: T) -> T {
    if h > T::ZERO { v } else { T::ZERO }
}

impl<T: Element> Op<T> for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let channels = Shape::new(&[x[X].last()]);
        if x[X].rank() < 2 || x[GAMMA] != channels || x[BETA] != channels {
            return Err(ShapeError::new("batch_norm", "scale and shift do not match the channels", x));
        }
        if x.get(SHORTCUT).is_some_and(|r| !self.relu || *r != x[X]) {
            return Err(ShapeError::new(
                "batch_norm",
                "the shortcut has another shape, or no rectifier follows",
                x,
            ));
        }
        match &self.moments {
            Moments::Batch { .. } if x[X].rows() < 2 => Err(ShapeError::new(
                "batch_norm",
                "training needs more than one value per channel, so more images in a batch",
                x,
            )),
            Moments::Running { mean, var } if mean.len() != x[X].last() || var.len() != x[X].last() => {
                Err(ShapeError::new("batch_norm", "running statistics do not match the channels", x))
            }
            _ => Ok(x[X]),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let (value, residuals, _) = self.forward_with_statistics(cx, x, y, keep);
        (value, residuals)
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let res = self.named_residuals(r);
        let y_bar = res.before_shortcut(cx, y_bar, 1);
        let sums = res.sums(Operands::adjoint(y_bar.as_slice()));
        res.vjp(cx, r, &y_bar, &sums, need)
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let res = self.named_residuals(r);
        let y_dot_of = |k: usize, y_dot: &mut [T]| {
            let part = |i: usize| x_dot[i].map(|d| d.part(k));
            let operands = Operands::tangent(part(X));
            let sums = match operands.x_dot {
                Some(_) if res.one_over_m != 0.0 => res.sums(operands),
                _ => vec![ChannelSums::default(); res.channels],
            };
            let k = Coefficients::new(res.channels, |c| {
                let (gamma, s) = res.gamma_s(c);
                let (q1, q2) = res.q(&sums[c], s);
                let dot = |i: usize| part(i).map_or(0.0, |v| v[c].to_f64());
                [0.0, 0.0, gamma * s, s * (dot(GAMMA) - gamma * s * q2), dot(BETA) - gamma * s * q1]
            });
            combine(y_dot, res.x, &res.per_channel, operands, &k);
        };
        let Some(h) = res.h else { return cx.each_probe(r.y, y_dot_of) };
        let y_moves = x_dot[..SHORTCUT].iter().any(Option::is_some);
        cx.each_probe(r.y, |k, h_dot| match (y_moves, x_dot[SHORTCUT].map(|d| d.part(k))) {
            (false, Some(r_dot)) => map::binary(h_dot, r_dot, h.as_slice(), positive),
            (_, None) => {
                y_dot_of(k, h_dot);
                map::update(h_dot, h.as_slice(), positive);
            }
            (true, Some(r_dot)) => {
                let mut y_dot = cx.array(r.y);
                y_dot_of(k, y_dot.make_mut());
                let arrays = [y_dot.as_slice(), r_dot, h.as_slice()];
                map::zip(h_dot, arrays, |[y_dot, r_dot, h]| positive(y_dot + r_dot, h));
            }
        })
    }

    fn tangents_read(&self, need: &InputSet) -> InputSet {
        if need.any() { [X, GAMMA, BETA].into_iter().collect() } else { InputSet::NONE }
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
        self.vjp_and_tangent(cx, r, x_dot, y_bar, y_bar_dot, &InputSet::NONE, need).1
    }

    /// Both rules share one reduction over x, ẋ, ȳ and ȳ̇.
    fn vjp_and_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
        need_dot: &InputSet,
    ) -> (PerInput<T>, PerInput<T>) {
        let res = self.named_residuals(r);
        let inputs = r.x.len();
        let y_bar = res.before_shortcut(cx, y_bar, 1);
        let y_bar_dot = y_bar_dot.map(|d| res.before_shortcut(cx, d, cx.probes));
        let mut x_bar = vec![None; inputs];
        let mut x_bar_dot: PerInput<T> =
            (0..SHORTCUT).map(|i| need_dot.has(i).then(|| cx.tangent(r.x[i]))).collect();
        // The shortcut's part alone asks for no sums.
        let normed = (0..SHORTCUT).any(|i| need.has(i) || need_dot.has(i));
        if !normed && need.has(SHORTCUT) {
            x_bar[SHORTCUT] = Some(y_bar.clone());
        }
        for k in 0..if normed { cx.probes } else { 0 } {
            let part = |i: usize| x_dot[i].map(|d| d.part(k));
            let operands = Operands {
                y_bar: Some(y_bar.as_slice()),
                x_dot: part(X),
                y_bar_dot: y_bar_dot.as_ref().map(|d| d.part(k)),
            };
            let sums = res.sums(operands);
            if k == 0 && need.any() {
                x_bar = res.vjp(cx, r, &y_bar, &sums, need);
            }
            let mut slices = x_bar_dot.iter_mut().enumerate().map(|(i, out)| {
                let n = r.x[i].len();
                out.as_mut().map(|out| &mut out.make_mut()[k * n..(k + 1) * n])
            });
            let mut next = || slices.next().flatten();
            let out = [next(), next(), next()];
            res.vjp_tangent(operands, part(GAMMA), &sums, out);
        }
        x_bar_dot.extend((inputs > SHORTCUT).then(|| y_bar_dot.filter(|_| need_dot.has(SHORTCUT))));
        (x_bar, x_bar_dot)
    }

    fn extensions(&self) -> Extensions<'_, T> {
        Extensions { statistics: Some(self), ..Extensions::NONE }
    }
}

impl<T: Element> BatchStatistics<T> for BatchNorm {
    fn forward_with_statistics(
        &self,
        cx: &Context<T>,
        x: &[&Array<T>],
        y: Shape,
        keep: Keep,
    ) -> (Array<T>, Residuals<T>, Option<Statistics>) {
        let channels = y.last();
        let (mean, var, statistics) = match &self.moments {
            Moments::Batch { slot } => {
                let (mean, var) = reduce::channel_moments(x[X].as_slice(), channels);
                let statistics = slot.map(|slot| {
                    let m = y.rows() as f64;
                    let unbiased = var.iter().map(|v| v * m / (m - 1.0)).collect();
                    Statistics { slot, mean: mean.clone(), var: unbiased }
                });
                (mean, var, statistics)
            }
            Moments::Running { mean, var } => (mean.clone(), var.clone(), None),
        };
        let shape = Shape::new(&[channels]);
        let array = |v: Vec<T>| Array::from_slice(&cx.pool, shape, &v);
        let mean_t = array(mean.iter().map(|m| T::from_f64(*m)).collect());
        let s = array(var.iter().map(|v| T::from_f64(1.0 / (v + self.eps).sqrt())).collect());
        let (gamma, beta) = (x[GAMMA].as_slice(), x[BETA].as_slice());
        let scale = array(gamma.iter().zip(s.as_slice()).map(|(g, s)| *g * *s).collect());
        let mut value = cx.array(y);
        let (input, k) = (x[X].as_slice(), [scale.as_slice(), mean_t.as_slice(), beta]);
        // NaN passes through, so that a non-finite value stays visible.
        let relu = |y: T| if y < T::ZERO { T::ZERO } else { y };
        match (self.relu, x.get(SHORTCUT)) {
            (_, Some(r)) => {
                let arrays = [input, r.as_slice()];
                map::per_channel(value.make_mut(), arrays, k, channels, |[x, r], [k, m, b]| {
                    relu(k * (x - m) + b + r)
                });
            }
            (true, None) => {
                map::per_channel(value.make_mut(), [input], k, channels, |[x], [k, m, b]| {
                    relu(k * (x - m) + b)
                });
            }
            (false, None) => {
                map::per_channel(value.make_mut(), [input], k, channels, |[x], [k, m, b]| k * (x - m) + b);
            }
        }
        if !keep.any() {
            return (value, Residuals::none(), statistics);
        }
        let mut residuals = vec![x[X].clone(), x[GAMMA].clone(), mean_t, s];
        match (self.relu, x.get(SHORTCUT)) {
            (_, Some(_)) => residuals.push(value.clone()),
            (true, None) => residuals.extend([scale, x[BETA].clone()]),
            (false, None) => {}
        }
        (value, Residuals::new(residuals.into_iter().map(Some)), statistics)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let running = || Moments::Running { mean: vec![0.3, -0.2, 1.0], var: vec![0.5, 2.0, 1.5] };
    vec![
        case(batch_norm(Moments::Batch { slot: None }, 1e-2), norm_inputs(&[4, 2, 3, 3], true)),
        case(batch_norm(Moments::Batch { slot: Some(0) }, 1e-5), norm_inputs(&[7, 3], true)),
        case(batch_norm(running(), 1e-3), norm_inputs(&[2, 3, 2, 3], true)),
        case(batch_norm(Moments::Batch { slot: None }, 1e-2).relu(), norm_inputs(&[4, 2, 3, 3], true)),
        case(batch_norm(running(), 1e-3).relu(), norm_inputs(&[2, 3, 2, 3], true)),
        case(batch_norm(Moments::Batch { slot: None }, 1e-2).relu(), with_shortcut(&[4, 2, 3, 3])),
        case(batch_norm(running(), 1e-3).relu(), with_shortcut(&[2, 3, 2, 3])),
    ]
}

fn with_shortcut(dims: &[usize]) -> Vec<Array<f64>> {
    norm_inputs(dims, true).into_iter().chain([normal(dims, 7)]).collect()
}
