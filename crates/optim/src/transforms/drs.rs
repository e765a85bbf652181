//! The dimension-reduced second-order step (docs/algorithm.md §6): the seed names "DRS" and does not define it; this is our reading,
//! after DRSOM (Zhang, Ge, Jiang and Ye, arXiv 2208.00208).
//!
//! With p₁ = −g and p₂ = θ_k − θ_{k−1} it minimises, over α ∈ R² and under the metric G_ij = p_iᵀp_j,
//!
//! ```text
//! m(α) = cᵀα + ½ αᵀQα,   c_i = gᵀp_i,   Q_ij = p_iᵀHp_j:     (Q + λG)α = −c,   λ = max(λ_k, δ − λ_min(Q, G))
//! ```
//!
//! and steps θ ← θ + lr·(α₁p₁ + α₂p₂). λ_k follows the ratio of the loss's actual decrease on the same batch to the model's. Q is kept
//! in unit directions and measured anew every `refresh` steps. Weight decay is part of the loss here: g, H and the decrease
//! contain ½λ_w‖θ‖².
//!
//! Multipliers M of parameters' learning rates are a metric: the step is the one in the variables M^(−½)θ, with p₁ = −Mg and G_ij = p_iᵀM⁻¹p_j.
//! Their ratios are those of the rates in p₁; the model decides how far to go.

use super::{PerParam, save_arrays};
use crate::curvature::{Answer, Curvature, Directions, EvalError, Request, Sweep};
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::kernels::dot::dot_f64 as dot;
use sph_tensor::{Array, Element};

/// Settings of [`Drs`].
#[derive(Debug, Clone, PartialEq)]
pub struct DrsConfig {
    /// λ_w on weights.
    pub weight_decay: f64,
    /// λ_w on 1-D parameters.
    pub weight_decay_1d: f64,
    /// Steps between measurements of Q, at least 1.
    pub refresh: u64,
    /// λ_0 ≥ `lambda_min`: the damping to begin with.
    pub lambda: f64,
    /// The least λ_k ≥ 0.
    pub lambda_min: f64,
    /// δ ≥ 0: the least curvature of the damped model.
    pub delta: f64,
    /// A step is taken back when its loss exceeds loss + (`max_rise` − 1)·|loss|; at least 1.
    pub max_rise: f64,
}

impl Default for DrsConfig {
    fn default() -> Self {
        DrsConfig {
            weight_decay: 5e-4,
            weight_decay_1d: 0.0,
            refresh: 10,
            lambda: 1.0,
            lambda_min: 1e-3,
            delta: 1e-3,
            max_rise: 1.5,
        }
    }
}

/// The dimension-reduced second-order step.
#[derive(Debug)]
pub struct Drs<T: Element> {
    config: DrsConfig,
    state: State<T>,
    /// The state after the step at hand.
    next: Option<State<T>>,
    /// The coming answer was asked to keep its tape.
    asked: bool,
}

/// What one step leaves to the next; a clone shares its arrays.
#[derive(Debug, Clone)]
struct State<T: Element> {
    /// p₂, the last displacement.
    last: PerParam<T>,
    /// λ_k.
    lambda: f64,
    /// Q̂_11, Q̂_12, Q̂_22 in unit directions, for as many directions as there were.
    q: [f64; 3],
    directions: usize,
}

/// What λ_k grows and shrinks by.
const GROWTH: f64 = 4.0;
/// Above and below these ratios of actual to predicted decrease λ_k shrinks and grows.
const GOOD: f64 = 0.75;
const BAD: f64 = 0.25;
/// Squared sine of the angle below which p₂ counts as parallel to p₁.
const PARALLEL: f64 = 1e-10;

/// α̂, the minimiser of cᵀα + ½αᵀ(Q̂ + λĜ)α in unit directions with cosine `cos` between them, and the λ it took: at least `lambda`,
/// and so large that the least curvature is `delta`.
fn minimise(c: [f64; 2], q: [f64; 3], cos: f64, two: bool, lambda: f64, delta: f64) -> ([f64; 2], f64) {
    if !two {
        let lambda = lambda.max(delta - q[0]);
        let damped = q[0] + lambda;
        return ([if damped > 0.0 { -c[0] / damped } else { 0.0 }, 0.0], lambda);
    }
    // Orthonormal coordinates: e₁ = p̂₁, e₂ = (p̂₂ − cos·p̂₁)/sin.
    let sin = (1.0 - cos * cos).sqrt();
    let c = [c[0], (c[1] - cos * c[0]) / sin];
    let q12 = (q[1] - cos * q[0]) / sin;
    let q22 = (q[2] - 2.0 * cos * q[1] + cos * cos * q[0]) / (sin * sin);
    let (mean, half) = (0.5 * (q[0] + q22), 0.5 * (q[0] - q22));
    let lambda = lambda.max(delta - (mean - (half * half + q12 * q12).sqrt()));
    let (a, d) = (q[0] + lambda, q22 + lambda);
    let determinant = a * d - q12 * q12;
    let beta = if determinant > 0.0 {
        [-(d * c[0] - q12 * c[1]) / determinant, -(a * c[1] - q12 * c[0]) / determinant]
    } else {
        // Flat in some direction even when damped (δ = 0): steepest descent alone.
        [if a > 0.0 { -c[0] / a } else { 0.0 }, 0.0]
    };
    ([beta[0] - cos / sin * beta[1], beta[1] / sin], lambda)
}

impl<T: Element> Drs<T> {
    /// Without a last displacement or a measurement of Q.
    pub fn new(config: DrsConfig) -> Self {
        let lambda = config.lambda.max(config.lambda_min);
        let state = State { last: Vec::new(), lambda, q: [0.0; 3], directions: 0 };
        Drs { config, state, next: None, asked: false }
    }

    fn decay(&self, cx: &UpdateContext<'_, T>, i: usize) -> f64 {
        let group = if cx.specs[i].is_1d() { self.config.weight_decay_1d } else { self.config.weight_decay };
        cx.weight_decay(i, group)
    }

    /// Q̂ in the unit directions −Mg and, when `two`, d, divided by their norms.
    fn measured(
        &self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        g: &[Option<Array<T>>],
        norms: [f64; 2],
        two: bool,
    ) -> Result<[f64; 3], EvalError> {
        let k = 1 + usize::from(two);
        let mut sweep = Sweep { rows: cx.members.to_vec(), ..Sweep::default() };
        for &i in cx.members {
            let Some(g) = &g[i] else { continue };
            let mut part = Array::zeros(g.pool(), g.shape().prepend(k));
            let (first, second) = part.make_mut().split_at_mut(g.shape().len());
            let rate = cx.overrides[i].lr_mult;
            let pairs = first.iter_mut().zip(g.as_slice());
            pairs.for_each(|(o, g)| *o = T::from_f64(-rate * g.to_f64() / norms[0]));
            if let Some(d) = self.state.last[i].as_ref().filter(|_| two) {
                second
                    .iter_mut()
                    .zip(d.as_slice())
                    .for_each(|(o, d)| *o = T::from_f64(d.to_f64() / norms[1]));
            }
            sweep.tangents.insert(i, part);
        }
        let mut products = Directions::default();
        f.hvp(&sweep, &mut products)?;
        let mut q = [0.0; 3];
        for (i, p) in sweep.tangents.iter() {
            let decay = self.decay(cx, i);
            let hp = products.get(i);
            let entry = |a: usize, b: usize| {
                let curved = hp.map_or(0.0, |hp| dot(p.part(a), hp.part(b)));
                curved + decay * dot(p.part(a), p.part(b))
            };
            q[0] += entry(0, 0);
            if two {
                q[1] += 0.5 * (entry(0, 1) + entry(1, 0));
                q[2] += entry(1, 1);
            }
        }
        Ok(q)
    }

    /// λ_k after a step whose loss fell by `actual` where the model said `predicted`.
    fn adapted(&self, actual: f64, predicted: f64, used: f64) -> f64 {
        let (ratio, lambda) = (actual / predicted, self.state.lambda);
        if ratio > GOOD {
            (lambda / GROWTH).max(self.config.lambda_min)
        } else if ratio < BAD || ratio.is_nan() {
            (GROWTH * lambda.max(used)).max(self.config.lambda_min)
        } else {
            lambda
        }
    }
}

impl<T: Element> Transform<T> for Drs<T> {
    fn name(&self) -> &'static str {
        "drs"
    }

    fn request(&mut self, cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        // A second direction that was not there when Q was measured needs a new measurement.
        let State { last, directions, .. } = &self.state;
        let grown = *directions == 1 && last.iter().any(Option::is_some);
        self.asked = cx.step.is_multiple_of(self.config.refresh.max(1)) || *directions == 0 || grown;
        want.keep |= self.asked;
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        self.next = None;
        self.state.last.resize(cx.specs.len(), None);
        // g with the decay's part, in place; and the products of directions.
        let (mut gg, mut gd, mut dd) = (0.0, 0.0, 0.0);
        for &i in cx.members {
            let Some(g) = &mut updates[i] else { continue };
            let decay = T::from_f64(self.decay(cx, i));
            g.make_mut().iter_mut().zip(cx.values[i].as_slice()).for_each(|(g, v)| *g += decay * *v);
            let rate = cx.overrides[i].lr_mult;
            gg += rate * dot(g.as_slice(), g.as_slice());
            if let Some(d) = &self.state.last[i] {
                gd += dot(g.as_slice(), d.as_slice());
                dd += dot(d.as_slice(), d.as_slice()) / rate;
            }
        }
        if !(gg > 0.0 && gg.is_finite()) {
            // A stationary point, or an overflow that the caller will see in the update.
            return Ok(());
        }
        let mut two = dd > 0.0 && 1.0 - gd * gd / (gg * dd) > PARALLEL;
        let norms = [gg.sqrt(), dd.sqrt()];
        let mut next = self.state.clone();
        if self.asked {
            next.q = self.measured(cx, f, updates, norms, two)?;
            next.directions = 1 + usize::from(two);
        }
        two &= next.directions == 2;
        let cos = if two { -gd / (norms[0] * norms[1]) } else { 0.0 };
        let c = [-norms[0], if two { gd / norms[1] } else { 0.0 }];
        let (alpha, used) = minimise(c, next.q, cos, two, next.lambda, self.config.delta);
        // The model's decrease along the step lr·α̂.
        let linear = c[0] * alpha[0] + c[1] * alpha[1];
        let q = next.q;
        let second = if two { 2.0 * q[1] * alpha[0] * alpha[1] + q[2] * alpha[1] * alpha[1] } else { 0.0 };
        let quadratic = q[0] * alpha[0] * alpha[0] + second;
        let predicted = -cx.lr * linear - 0.5 * cx.lr * cx.lr * quadratic;

        let mut step = Directions::default();
        let mut decrease_of_decay = 0.0;
        for &i in cx.members {
            let Some(g) = &mut updates[i] else {
                // It does not take part in the loss and stays where it is.
                next.last[i] = Some(Array::zeros(cx.values[i].pool(), cx.values[i].shape()));
                continue;
            };
            // M⁻¹D with D = −(α₁p₁ + α₂p₂), the direction that is subtracted; the optimizer multiplies by lr·M.
            let rate = cx.overrides[i].lr_mult;
            let (on_g, on_d) = (alpha[0] / norms[0], if two { alpha[1] / norms[1] / rate } else { 0.0 });
            let last = &self.state.last[i];
            let out = g.make_mut();
            for (j, o) in out.iter_mut().enumerate() {
                let d = last.as_ref().map_or(0.0, |d| d.as_slice()[j].to_f64());
                *o = T::from_f64(on_g * o.to_f64() - on_d * d);
            }
            let mut moved = Array::stale(g.pool(), g.shape());
            let lr = T::from_f64(-cx.lr * rate);
            moved.make_mut().iter_mut().zip(g.as_slice()).for_each(|(m, d)| *m = lr * *d);
            let (v, s) = (cx.values[i].as_slice(), moved.as_slice());
            decrease_of_decay -= self.decay(cx, i) * (dot(v, s) + 0.5 * dot(s, s));
            step.insert(i, moved.reshape(g.shape().prepend(1)));
            next.last[i] = Some(moved);
        }
        let loss = f.loss_at(&step)?;
        let actual = answer.loss - loss + decrease_of_decay;
        if !loss.is_finite() || loss > answer.loss + (self.config.max_rise - 1.0) * answer.loss.abs() {
            // Taken back: nothing moves, and the next step is shorter.
            for &i in cx.members {
                next.last[i] = None;
                if let Some(update) = &mut updates[i] {
                    update.make_mut().fill(T::ZERO);
                }
            }
            next.lambda = (GROWTH * next.lambda.max(used)).max(self.config.delta).max(self.config.lambda_min);
        } else if predicted > 1e-12 * answer.loss.abs() {
            // Below that the ratio is rounding.
            next.lambda = self.adapted(actual, predicted, used);
        }
        self.next = Some(next);
        Ok(())
    }

    fn commit(&mut self) {
        if let Some(next) = self.next.take() {
            self.state = next;
        }
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        save_arrays(cx, &format!("{prefix}.last"), &self.state.last, to);
        to.numbers.insert(format!("{prefix}.directions"), self.state.directions as u64);
        to.numbers.insert(format!("{prefix}.lambda"), self.state.lambda.to_bits());
        for (i, q) in self.state.q.iter().enumerate() {
            to.numbers.insert(format!("{prefix}.q{i}"), q.to_bits());
        }
    }

    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        self.state.last = vec![None; cx.specs.len()];
        let name = |i: usize| format!("{prefix}.last.{}", cx.specs[i].name);
        for &i in cx.members {
            self.state.last[i] = from.take_array(&name(i), &cx.values[i])?;
        }
        // Of all members or, after a step that was taken back, of none.
        let (there, missing): (Vec<usize>, Vec<usize>) =
            cx.members.iter().partition(|i| self.state.last[**i].is_some());
        if let (Some(_), Some(i)) = (there.first(), missing.first()) {
            return Err(StateError::Missing(name(*i)));
        }
        let State { lambda, q, directions, .. } = &mut self.state;
        let mut number =
            |name: &str, start: u64| from.take_number_after(cx.step, &format!("{prefix}.{name}"), start);
        *directions = number("directions", 0)? as usize;
        *lambda = f64::from_bits(number("lambda", lambda.to_bits())?);
        for (i, q) in q.iter_mut().enumerate() {
            *q = f64::from_bits(number(&format!("q{i}"), 0)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::minimise;

    /// Against a grid around the answer: nothing nearby is lower.
    #[test]
    fn the_minimiser_is_a_minimum_of_the_damped_model() {
        for (c, q, cos) in [
            ([-1.0, 0.3], [2.0, 0.4, 1.0], 0.2),
            ([-1.0, -0.5], [-1.0, 0.1, 0.5], -0.6),
            ([-0.1, 0.0], [0.0; 3], 0.0),
        ] {
            let (alpha, lambda) = minimise(c, q, cos, true, 0.1, 0.05);
            // The given λ where that is enough; else the least curvature with λ is δ: Q + (λ − δ)G is singular.
            let mu = lambda - 0.05;
            let singular = (q[0] + mu) * (q[2] + mu) - (q[1] + mu * cos).powi(2);
            assert!(
                if q[0] < 0.0 { lambda > 0.1 && singular.abs() < 1e-12 } else { lambda == 0.1 },
                "{lambda}"
            );
            let model = |a: [f64; 2]| {
                let norm = a[0] * a[0] + 2.0 * cos * a[0] * a[1] + a[1] * a[1];
                let curved = q[0] * a[0] * a[0] + 2.0 * q[1] * a[0] * a[1] + q[2] * a[1] * a[1];
                c[0] * a[0] + c[1] * a[1] + 0.5 * (curved + lambda * norm)
            };
            for (dx, dy) in [(1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3), (1e-3, 1e-3)] {
                assert!(model([alpha[0] + dx, alpha[1] + dy]) > model(alpha), "{c:?} {q:?} {cos}");
            }
        }
    }
}
