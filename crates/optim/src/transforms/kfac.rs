//! K-FAC's direction (Martens and Grosse 2015; Grosse and Martens 2016 for convolutions): G⁻¹ [W̄ b̄] A⁻¹ for every linear and
//! convolution layer, A and G running averages of the Fisher's Kronecker factors, damped by √λ with the factor π between them:
//!
//! ```text
//! (A + π√λ I)⁻¹,  (G + √λ/π I)⁻¹,   π² = (tr A / dim A) / (tr G / dim G)
//! ```
//!
//! What the factors are averages of: [`crate::curvature::Factors`].

use super::Draw;
use crate::curvature::{Answer, Curvature, EvalError, FisherLabels};
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_nn::{ParamSpec, Role};
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

/// One layer: its weights, its bias, its factors and their inverses.
#[derive(Debug)]
struct Layer<T: Element> {
    weight: usize,
    bias: Option<usize>,
    factors: Option<[Array<T>; 2]>,
    inverses: Option<[Array<T>; 2]>,
}

/// See the module.
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
    /// The layers among `members`: weights of two axes or four, with their biases. The other members pass through.
    pub fn new(config: KfacConfig, specs: &[ParamSpec], members: &[usize]) -> Self {
        let layer = |&weight: &usize| {
            let spec = &specs[weight];
            let name = spec.name.strip_suffix(".weight").filter(|_| spec.role == Role::Weight)?;
            let is_bias =
                |i: &&usize| specs[**i].role == Role::Bias && specs[**i].name == format!("{name}.bias");
            let bias = members.iter().find(is_bias).copied();
            Some(Layer { weight, bias, factors: None, inverses: None })
        };
        Kfac { config, layers: members.iter().filter_map(layer).collect() }
    }

    /// Whether `spec` is something that K-FAC preconditions.
    pub fn takes(spec: &ParamSpec) -> bool {
        matches!(spec.role, Role::Weight | Role::Bias) && !spec.decoupled
    }

    /// Measures the factors at the point of `f` and takes them into the averages.
    fn measure(&mut self, step: u64, f: &mut dyn Curvature<T>) -> Result<(), EvalError> {
        let weights: Vec<(usize, bool)> = self.layers.iter().map(|l| (l.weight, l.bias.is_some())).collect();
        let found = f.kronecker_factors(&weights, &(self.config.labels.0)(step))?;
        let decay = T::from_f64(self.config.decay);
        let rest = T::from_f64(1.0 - self.config.decay);
        for (layer, new) in self.layers.iter_mut().zip(found) {
            // A layer that the loss does not reach, or whose factors are not finite, is passed over.
            let Some(new) = new else { continue };
            match &mut layer.factors {
                Some(old) => {
                    for (old, new) in old.iter_mut().zip([&new.a, &new.g]) {
                        let pairs = old.make_mut().iter_mut().zip(new.as_slice());
                        pairs.for_each(|(o, n)| *o = decay * *o + rest * *n);
                    }
                }
                None => layer.factors = Some([new.a, new.g]),
            }
        }
        Ok(())
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
        if !self.layers.is_empty() && cx.step.is_multiple_of(self.config.factor_every.max(1)) {
            self.measure(cx.step, f)?;
        }
        let invert_now = cx.step.is_multiple_of(self.config.inverse_every.max(1));
        for layer in &mut self.layers {
            if (invert_now || layer.inverses.is_none())
                && let Some(factors) = &layer.factors
                && let Some(inverses) = invert(factors, self.config.damping)
            {
                layer.inverses = Some(inverses);
            }
            let Some([a, g]) = &layer.inverses else { continue };
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

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        for layer in &self.layers {
            let name = &cx.specs[layer.weight].name;
            for (what, pair) in [("factor", &layer.factors), ("inverse", &layer.inverses)] {
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
            let mut take = |what: &str, side: &str| {
                from.take_array(&format!("{prefix}.{what}_{side}.{}", spec.name), &like[side])
            };
            layer.factors = take("factor", "a")?.zip(take("factor", "g")?).map(|(a, g)| [a, g]);
            layer.inverses = take("inverse", "a")?.zip(take("inverse", "g")?).map(|(a, g)| [a, g]);
        }
        Ok(())
    }
}
