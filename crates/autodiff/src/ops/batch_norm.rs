//! Batch normalization over all axes but the last (seed eq. 1 and 2), with the rules of docs/algorithm.md §2.
//!
//! Per channel over its m elements, with s = 1/√(σ²+ε), x̂ = s(x−μ):   y = γx̂ + β
//!
//! ```text
//! ẏ  = γx̂̇ + γ̇x̂ + β̇          x̂̇ = s(ẋ − q₁ − x̂q₂),   q₁ = mean(ẋ), q₂ = mean(x̂ẋ)
//! x̄  = γs(ȳ − u − x̂v)        u = mean(ȳ), v = mean(x̂ȳ)        γ̄ = Σ ȳx̂        β̄ = Σ ȳ
//! x̄̇ = (γ̇s + γṡ)(ȳ − u − x̂v) + γs(ȳ̇ − w₁ − x̂̇v − x̂w₂)         ṡ = −s²q₂
//!       w₁ = mean(ȳ̇), w₂ = mean(x̂̇ȳ + x̂ȳ̇)      γ̄̇ = Σ (ȳ̇x̂ + ȳx̂̇)      β̄̇ = Σ ȳ̇
//! ```
//!
//! A rectifier may follow, and a shortcut r be added before it: z = max(y + r, 0). Then ȳ = [z > 0] z̄ = r̄ takes ȳ's place, ȳ̇ = [z > 0] z̄̇ that
//! of ȳ̇, and ż = [z > 0](ẏ + ṙ). Without a shortcut the sign of z is found from x again, without a pass over memory.
//!
//! In evaluation mode μ and s are constants: q₁ = q₂ = u = v = w₁ = w₂ = 0 outside the parameters' rules. Each rule is one
//! reduction and one map: the formulas above are linear in x−μ, ẋ, ȳ and ȳ̇ with per-channel coefficients.

use crate::extensions::{BatchStatistics, Extensions, Statistics};
use crate::op::{Bars, Context, Keep, Need, Op, Record, Saved};
use crate::ops::{Case, case, norm_inputs, normal};
use crate::rules::{Channels, Coefficients, Sums, combine, sums};
use sph_tensor::kernels::{map, reduce};
use sph_tensor::{Array, Element, Shape, ShapeError};

const X: usize = 0;
const GAMMA: usize = 1;
const BETA: usize = 2;
const SHORTCUT: usize = 3;

/// Where mean and variance come from.
#[derive(Debug, Clone)]
pub enum Moments {
    /// The batch (training mode). Its statistics are handed out under `slot` when there is one.
    Batch {
        /// See [`Statistics::slot`].
        slot: Option<usize>,
    },
    /// Running averages per channel (evaluation mode).
    Running {
        /// Mean.
        mean: Vec<f64>,
        /// Variance.
        var: Vec<f64>,
    },
}

/// See [`batch_norm`].
#[derive(Debug)]
pub struct BatchNorm {
    /// Where mean and variance come from.
    pub moments: Moments,
    /// Added to the variance.
    pub eps: f64,
    /// See [`BatchNorm::relu`].
    pub relu: bool,
}

impl BatchNorm {
    /// A rectifier behind it, and before that the sum with an optional fourth input, a shortcut of x's shape: one op where
    /// three would pass over memory.
    pub fn relu(self) -> Self {
        BatchNorm { relu: true, ..self }
    }
}

/// Normalizes x of shape (…, C) with γ and β of C entries; `eps` is added to the variance.
pub fn batch_norm(moments: Moments, eps: f64) -> BatchNorm {
    BatchNorm { moments, eps, relu: false }
}

/// What the rules read: x, and per channel γ, μ, s.
struct Residuals<'a, T: Element> {
    x: &'a [T],
    gamma: &'a [T],
    per_channel: Channels<'a, T>,
    s: &'a [T],
    /// z, where a shortcut was added: what its sign is read from.
    output: Option<&'a Array<T>>,
    /// 1/m in training mode; 0 in evaluation mode, which drops every mean term.
    per_element: f64,
    channels: usize,
}

impl BatchNorm {
    fn residuals<'a, T: Element>(&self, r: &'a Record<T>) -> Residuals<'a, T> {
        let m = r.x[X].rows() as f64;
        let at = |i: usize| r.saved.at(i).as_slice();
        let shortcut = r.x.len() > SHORTCUT;
        let relu = (self.relu && !shortcut).then(|| [at(4), at(5)]);
        Residuals {
            x: at(0),
            gamma: at(1),
            per_channel: Channels { mean: at(2), relu },
            s: at(3),
            output: shortcut.then(|| r.saved.at(4)),
            per_element: if matches!(self.moments, Moments::Batch { .. }) { 1.0 / m } else { 0.0 },
            channels: r.x[X].last(),
        }
    }
}

impl<'a, T: Element> Residuals<'a, T> {
    /// Per-channel coefficients, computed in f64.
    fn coefficients(&self, f: impl Fn(usize) -> f64) -> Vec<T> {
        (0..self.channels).map(|c| T::from_f64(f(c))).collect()
    }

    fn at(&self, c: usize) -> (f64, f64) {
        (self.gamma[c].to_f64(), self.s[c].to_f64())
    }

    /// The adjoint of y: z̄ where z is positive, if a shortcut was added; z̄ itself otherwise. `probes` lie behind one another.
    fn behind_shortcut(&self, cx: &Context<T>, z_bar: &Array<T>, probes: usize) -> Array<T> {
        let Some(output) = self.output else { return z_bar.clone() };
        let mut y_bar = cx.array(z_bar.shape());
        let n = z_bar.as_slice().len() / probes.max(1);
        for (k, out) in y_bar.make_mut().chunks_exact_mut(n.max(1)).enumerate() {
            let z_bar = &z_bar.as_slice()[k * n..(k + 1) * n];
            map::binary(out, z_bar, output.as_slice(), |v, z| if z > T::ZERO { v } else { T::ZERO });
        }
        y_bar
    }

    /// All sums of ȳ (`a`), ẋ (`d`) and ȳ̇ (`b`) in one pass.
    fn sums(&self, arrays: [Option<&[T]>; 3]) -> Vec<Sums> {
        sums(self.x, &self.per_channel, arrays)
    }

    /// x̄, γ̄ and β̄ from the sums of ȳ.
    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, sums: &[Sums], need: &Need) -> Bars<T> {
        let x_bar = need.has(X).then(|| {
            let mut x_bar = cx.array(r.x[X]);
            let k = Coefficients::new(self.channels, |c| {
                let (gamma, s) = self.at(c);
                let (u, v) = (sums[c].a * self.per_element, s * sums[c].za * self.per_element);
                [gamma * s, 0.0, 0.0, -gamma * s * s * v, -gamma * s * u]
            });
            combine(x_bar.make_mut(), self.x, &self.per_channel, [Some(y_bar.as_slice()), None, None], &k);
            x_bar
        });
        let parameter = |i: usize, f: &dyn Fn(usize) -> f64| {
            need.has(i).then(|| Array::from_slice(&cx.pool, r.x[i], &self.coefficients(f)))
        };
        let gamma_bar = parameter(GAMMA, &|c| self.at(c).1 * sums[c].za);
        let beta_bar = parameter(BETA, &|c| sums[c].a);
        let shortcut = need.has(SHORTCUT).then(|| y_bar.clone());
        [x_bar, gamma_bar, beta_bar, shortcut].into_iter().take(r.x.len()).collect()
    }

    /// Writes x̄̇ (when asked for), γ̄̇ and β̄̇ of one probe from its sums.
    fn vjp_tangent(&self, p: &Probe<T>, sums: &[Sums], out: [Option<&mut [T]>; 3]) {
        let pe = self.per_element;
        let [x_out, gamma_out, beta_out] = out;
        let q = |c: usize| (sums[c].d * pe, self.at(c).1 * sums[c].zd * pe);
        // Σ ȳx̂̇ = s(Σȳẋ − q₁Σȳ − q₂Σx̂ȳ)
        let a_xhat_dot = |c: usize| {
            let ((q1, q2), s) = (q(c), self.at(c).1);
            s * (sums[c].ad - q1 * sums[c].a - q2 * s * sums[c].za)
        };
        if let Some(out) = gamma_out {
            out.copy_from_slice(&self.coefficients(|c| self.at(c).1 * sums[c].zb + a_xhat_dot(c)));
        }
        if let Some(out) = beta_out {
            out.copy_from_slice(&self.coefficients(|c| sums[c].b));
        }
        let Some(out) = x_out else { return };
        let k = Coefficients::new(self.channels, |c| {
            let ((gamma, s), (q1, q2)) = (self.at(c), q(c));
            let gamma_dot = p.gamma_dot.map_or(0.0, |g| g[c].to_f64());
            let (u, v) = (sums[c].a * pe, s * sums[c].za * pe);
            let (w1, w2) = (sums[c].b * pe, (s * sums[c].zb + a_xhat_dot(c)) * pe);
            // The coefficient of ȳ is γ̇s + γṡ.
            let a = gamma_dot * s - gamma * s * s * q2;
            let z = s * (-a * v + gamma * s * (s * v * q2 - w2));
            [a, gamma * s, -gamma * s * s * v, z, -a * u + gamma * s * (s * v * q1 - w1)]
        });
        combine(out, self.x, &self.per_channel, [Some(p.y_bar), p.x_dot, p.y_bar_dot], &k);
    }
}

/// The arrays of one probe.
struct Probe<'a, T> {
    x_dot: Option<&'a [T]>,
    gamma_dot: Option<&'a [T]>,
    y_bar: &'a [T],
    y_bar_dot: Option<&'a [T]>,
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

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Saved<T>) {
        let (value, saved, _) = self.forward_with_statistics(cx, x, y, keep);
        (value, saved)
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &Need) -> Bars<T> {
        let res = self.residuals(r);
        let y_bar = res.behind_shortcut(cx, y_bar, 1);
        let sums = res.sums([Some(y_bar.as_slice()), None, None]);
        res.vjp(cx, r, &y_bar, &sums, need)
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let res = self.residuals(r);
        let of_norm = |k: usize, y_dot: &mut [T]| {
            let part = |i: usize| x_dot[i].map(|d| d.part(k));
            let sums = match part(X) {
                Some(d) if res.per_element != 0.0 => res.sums([None, Some(d), None]),
                _ => vec![Sums::default(); res.channels],
            };
            let k = Coefficients::new(res.channels, |c| {
                let (gamma, s) = res.at(c);
                let (q1, q2) = (sums[c].d * res.per_element, s * sums[c].zd * res.per_element);
                let dot = |i: usize| part(i).map_or(0.0, |v| v[c].to_f64());
                [0.0, 0.0, gamma * s, s * (dot(GAMMA) - gamma * s * q2), dot(BETA) - gamma * s * q1]
            });
            combine(y_dot, res.x, &res.per_channel, [None, part(X), None], &k);
        };
        let Some(output) = res.output else { return cx.each_probe(r.y, of_norm) };
        let normed = x_dot[..SHORTCUT].iter().any(Option::is_some);
        let pass = |v: T, z: T| if z > T::ZERO { v } else { T::ZERO };
        cx.each_probe(r.y, |k, z_dot| match (normed, x_dot[SHORTCUT].map(|d| d.part(k))) {
            (false, Some(r_dot)) => map::binary(z_dot, r_dot, output.as_slice(), pass),
            (_, None) => {
                of_norm(k, z_dot);
                map::update(z_dot, output.as_slice(), pass);
            }
            (true, Some(r_dot)) => {
                let mut y_dot = cx.array(r.y);
                of_norm(k, y_dot.make_mut());
                let arrays = [y_dot.as_slice(), r_dot, output.as_slice()];
                map::zip(z_dot, arrays, |[y_dot, r_dot, z]| pass(y_dot + r_dot, z));
            }
        })
    }

    fn tangents_read(&self, need: &Need) -> Need {
        if need.any() { [X, GAMMA, BETA].into_iter().collect() } else { Need::NONE }
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
        self.vjp_and_tangent(cx, r, x_dot, y_bar, y_bar_dot, &Need::NONE, need).1
    }

    /// Both rules share one reduction over x, ẋ, ȳ and ȳ̇.
    fn vjp_and_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &Need,
        need_dot: &Need,
    ) -> (Bars<T>, Bars<T>) {
        let res = self.residuals(r);
        let inputs = r.x.len();
        let y_bar = res.behind_shortcut(cx, y_bar, 1);
        let y_bar_dot = y_bar_dot.map(|d| res.behind_shortcut(cx, d, cx.probes));
        let mut bars = vec![None; inputs];
        let mut dots: Bars<T> = (0..SHORTCUT).map(|i| need_dot.has(i).then(|| cx.tangent(r.x[i]))).collect();
        // The shortcut's part alone asks for no sums.
        let normed = (0..SHORTCUT).any(|i| need.has(i) || need_dot.has(i));
        if !normed && need.has(SHORTCUT) {
            bars[SHORTCUT] = Some(y_bar.clone());
        }
        for k in 0..if normed { cx.probes } else { 0 } {
            let part = |i: usize| x_dot[i].map(|d| d.part(k));
            let probe = Probe {
                x_dot: part(X),
                gamma_dot: part(GAMMA),
                y_bar: y_bar.as_slice(),
                y_bar_dot: y_bar_dot.as_ref().map(|d| d.part(k)),
            };
            let sums = res.sums([Some(probe.y_bar), probe.x_dot, probe.y_bar_dot]);
            if k == 0 && need.any() {
                bars = res.vjp(cx, r, &y_bar, &sums, need);
            }
            let mut slices = dots.iter_mut().enumerate().map(|(i, out)| {
                let n = r.x[i].len();
                out.as_mut().map(|out| &mut out.make_mut()[k * n..(k + 1) * n])
            });
            let mut next = || slices.next().flatten();
            let out = [next(), next(), next()];
            res.vjp_tangent(&probe, &sums, out);
        }
        dots.extend((inputs > SHORTCUT).then(|| y_bar_dot.filter(|_| need_dot.has(SHORTCUT))));
        (bars, dots)
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
    ) -> (Array<T>, Saved<T>, Option<Statistics>) {
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
            return (value, Saved::none(), statistics);
        }
        let mut saved = vec![x[X].clone(), x[GAMMA].clone(), mean_t, s];
        match (self.relu, x.get(SHORTCUT)) {
            (_, Some(_)) => saved.push(value.clone()),
            (true, None) => saved.extend([scale, x[BETA].clone()]),
            (false, None) => {}
        }
        (value, Saved::new(saved.into_iter().map(Some)), statistics)
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
