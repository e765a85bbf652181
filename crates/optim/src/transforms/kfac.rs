//! K-FAC's direction (Martens and Grosse 2015; Grosse and Martens 2016 for convolutions): G⁻¹ [W̄ b̄] A⁻¹ for every linear and
//! convolution layer, A and G running averages of the Fisher's Kronecker factors, damped by √λ with the factor π between them:
//!
//! ```text
//! (A + π√λ I)⁻¹,  (G + √λ/π I)⁻¹,   π² = (tr A / dim A) / (tr G / dim G)
//! ```
//!
//! [`crate::curvature::Factors`] defines the factors of one measurement.

use super::Draw;
use crate::curvature::{Answer, Curvature, EvalError, Factors, FisherLabels};
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_autodiff::{ParamSpec, Role};
use sph_tensor::kernels::gemm::{View, matmul};
use sph_tensor::{Array, Element, Shape};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The labels of the Fisher's gradients at a step.
pub type DrawLabels = Draw<dyn Fn(u64) -> FisherLabels + Send + Sync>;

/// Settings of [`Kfac`].
#[derive(Debug, Clone)]
pub struct KfacConfig {
    /// λ > 0.
    pub damping: f64,
    /// Decay of the factors' averages, in [0, 1). They begin with the first measurement.
    pub decay: f64,
    /// Steps between measurements of the factors, at least 1.
    pub factor_every: u64,
    /// Steps between inversions, at least 1.
    pub inverse_every: u64,
    /// Labels, sampled from the model by default ([`sampled`]).
    pub labels: DrawLabels,
}

/// Labels sampled from the model's own distribution, by (seed, step): the true Fisher, not the empirical one.
pub fn sampled(seed: u64) -> DrawLabels {
    Draw(Arc::new(move |step| FisherLabels::Sampled { seed, draw: step }))
}

/// One layer: its weights, its bias, its factors, and these after the step at hand.
#[derive(Debug)]
struct Layer<T: Element> {
    weight: usize,
    bias: Option<usize>,
    state: State<T>,
    next: Option<State<T>>,
}

/// A layer's factors and their inverses, [A, G]; a clone shares them.
#[derive(Debug, Clone)]
struct State<T: Element> {
    factors: Option<[Array<T>; 2]>,
    inverses: Option<[Array<T>; 2]>,
}

impl<T: Element> Default for State<T> {
    fn default() -> Self {
        State { factors: None, inverses: None }
    }
}

impl<T: Element> State<T> {
    /// Takes a measurement into the factors' averages, in its buffers.
    fn observe(&mut self, decay: f64, new: Factors<T>) {
        let (decay, rest) = (T::from_f64(decay), T::from_f64(1.0 - decay));
        let mut new = [new.a, new.g];
        for (new, old) in new.iter_mut().zip(self.factors.iter().flatten()) {
            let pairs = new.make_mut().iter_mut().zip(old.as_slice());
            pairs.for_each(|(new, old)| *new = decay * *old + rest * *new);
        }
        self.factors = Some(new);
    }
}

/// K-FAC's direction for linear and convolution layers.
#[derive(Debug)]
pub struct Kfac<T: Element> {
    config: KfacConfig,
    layers: Vec<Layer<T>>,
}

/// (A + π√λ I)⁻¹ and (G + √λ/π I)⁻¹; `None` when they do not exist in floating point.
fn invert<T: Element>([a, g]: &[Array<T>; 2], damping: f64) -> Option<[Array<T>; 2]> {
    let mean_diagonal = |m: &Array<T>| {
        let n = m.shape()[0];
        (0..n).map(|i| m.as_slice()[i * n + i].to_f64()).sum::<f64>() / n as f64
    };
    let pi = (mean_diagonal(a) / mean_diagonal(g)).sqrt();
    // A factor that is zero leaves the damping to itself.
    let pi = if pi.is_finite() && pi > 0.0 { pi } else { 1.0 };
    let inverse = |m: &Array<T>, shift: f64| {
        let n = m.shape()[0];
        // faer, sequential: the same bits on any number of threads.
        let damped = faer::Mat::from_fn(n, n, |i, j| {
            let v = m.as_slice()[i * n + j].to_f64();
            if i == j { v + shift } else { v }
        });
        let factor = damped.llt(faer::Side::Lower).ok()?;
        let inverse = faer::linalg::solvers::DenseSolveCore::inverse(&factor);
        let values: Vec<T> = (0..n * n).map(|k| T::from_f64(inverse[(k / n, k % n)])).collect();
        Some(Array::from_slice(m.pool(), m.shape(), &values))
    };
    let root = damping.sqrt();
    Some([inverse(a, pi * root)?, inverse(g, root / pi)?])
}

fn view<T: Element>(a: &Array<T>) -> View<'_, T> {
    View::new(a.as_slice(), a.shape()[0], a.shape()[1])
}

impl<T: Element> Kfac<T> {
    /// The layers among `members`: weights, with the biases that their specs name. The other members pass through.
    pub fn new(config: KfacConfig, specs: &[ParamSpec], members: &[usize]) -> Self {
        let layer = |&weight: &usize| {
            let spec = &specs[weight];
            let bias = spec.bias.filter(|b| members.contains(b));
            (spec.role == Role::Weight).then_some(Layer { weight, bias, state: State::default(), next: None })
        };
        Kfac { config, layers: members.iter().filter_map(layer).collect() }
    }

    /// Whether `spec` is something that K-FAC preconditions.
    pub fn takes(spec: &ParamSpec) -> bool {
        matches!(spec.role, Role::Weight | Role::Bias) && !spec.decoupled
    }

    /// Measures the factors at the point of `f`; `None` for layers that have none.
    fn measured(&self, step: u64, f: &mut dyn Curvature<T>) -> Result<Vec<Option<Factors<T>>>, EvalError> {
        let layers: Vec<(usize, Option<usize>)> = self.layers.iter().map(|l| (l.weight, l.bias)).collect();
        f.kronecker_factors(&layers, &(self.config.labels.0)(step))
    }
}

impl<T: Element> Transform<T> for Kfac<T> {
    fn name(&self) -> &'static str {
        "kfac"
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        _answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        let measure = !self.layers.is_empty() && cx.step.is_multiple_of(self.config.factor_every.max(1));
        let found = if measure { self.measured(cx.step, f)? } else { Vec::new() };
        let mut found = found.into_iter();
        let invert_now = cx.step.is_multiple_of(self.config.inverse_every.max(1));
        for layer in &mut self.layers {
            let state = layer.next.insert(layer.state.clone());
            // A layer that the loss does not reach, or whose factors are not finite, is passed over.
            if let Some(new) = found.next().flatten() {
                state.observe(self.config.decay, new);
            }
            if (invert_now || state.inverses.is_none())
                && let Some(factors) = &state.factors
                && let Some(inverses) = invert(factors, self.config.damping)
            {
                state.inverses = Some(inverses);
            }
            let Some([a, g]) = &state.inverses else { continue };
            let Some(weight) = &updates[layer.weight] else { continue };
            let (out, columns) = (g.shape()[0], a.shape()[0]);
            let inputs = weight.shape().len() / out;
            let mut joined = Array::zeros(weight.pool(), Shape::new(&[out, columns]));
            let bias = layer.bias.and_then(|b| updates[b].as_ref());
            for (i, row) in joined.make_mut().chunks_exact_mut(columns).enumerate() {
                row[..inputs].copy_from_slice(&weight.as_slice()[i * inputs..(i + 1) * inputs]);
                if let (Some(last), Some(bias)) = (row.get_mut(inputs), bias) {
                    *last = bias.as_slice()[i];
                }
            }
            let mut left = Array::stale(weight.pool(), joined.shape());
            matmul(left.make_mut(), false, view(g), view(&joined));
            matmul(joined.make_mut(), false, view(&left), view(a));
            for (i, row) in joined.as_slice().chunks_exact(columns).enumerate() {
                if let Some(weight) = &mut updates[layer.weight] {
                    weight.make_mut()[i * inputs..(i + 1) * inputs].copy_from_slice(&row[..inputs]);
                }
                if let (Some(v), Some(bias)) = (row.get(inputs), layer.bias.and_then(|b| updates[b].as_mut()))
                {
                    bias.make_mut()[i] = *v;
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        for layer in &mut self.layers {
            if let Some(next) = layer.next.take() {
                layer.state = next;
            }
        }
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        for layer in &self.layers {
            let name = &cx.specs[layer.weight].name;
            for (what, pair) in [("factor", &layer.state.factors), ("inverse", &layer.state.inverses)] {
                for (side, array) in ["a", "g"].iter().zip(pair.iter().flatten()) {
                    to.arrays.insert(format!("{prefix}.{what}_{side}.{name}"), array.clone());
                }
            }
        }
    }

    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        for layer in &mut self.layers {
            let (spec, value) = (&cx.specs[layer.weight], &cx.values[layer.weight]);
            let out = spec.shape[0];
            let columns = spec.len() / out + usize::from(layer.bias.is_some());
            let like: BTreeMap<&str, _> = [("a", columns), ("g", out)]
                .map(|(side, n)| (side, Array::zeros(value.pool(), Shape::new(&[n, n]))))
                .into();
            // Both or neither: a layer that the loss does not reach has none.
            let mut take = |what: &str| {
                let name = |side: &str| format!("{prefix}.{what}_{side}.{}", spec.name);
                match (from.take_array(&name("a"), &like["a"])?, from.take_array(&name("g"), &like["g"])?) {
                    (Some(a), Some(g)) => Ok(Some([a, g])),
                    (None, None) => Ok(None),
                    (a, _) => Err(StateError::Missing(name(if a.is_none() { "a" } else { "g" }))),
                }
            };
            layer.state = State { factors: take("factor")?, inverses: take("inverse")? };
            // Inverses are made of factors.
            if let State { factors: None, inverses: Some(_) } = layer.state {
                return Err(StateError::Missing(format!("{prefix}.factor_a.{}", spec.name)));
            }
        }
        Ok(())
    }
}
