//! The Newton-type step on 1-D blocks (seed II-C; docs/algorithm.md §5): D = τ m / rectified(d).
//!
//! d is a running average of what probes found of each block's curvature; m is what the links before this one made of the
//! gradient.

use crate::curvature::estimator::{Averaging, Correction, Estimator};
use crate::curvature::probes::Probe;
use crate::curvature::rectifiers::Rectifier;
use crate::curvature::{Answer, Cycle, Request};
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, Shape, kernels::map};
use std::collections::BTreeMap;

/// The strategies of a [`Precondition`].
#[derive(Debug, Clone)]
pub struct PreconditionConfig {
    /// Which block is visited at which step.
    pub cycle: Cycle,
    /// The vectors given to H.
    pub probe: &'static Probe,
    /// Signed curvature to positive.
    pub rectifier: &'static Rectifier,
    /// What is averaged.
    pub averaging: Averaging,
    /// How the average's start from zero is corrected.
    pub correction: Correction,
    /// Decay β of the average.
    pub decay: f64,
    /// τ: scales the direction.
    pub tau: f64,
    /// ε: damping, added to the rectified curvature.
    pub eps: f64,
    /// Seed of random probes.
    pub seed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Precondition<T: Element> {
    config: PreconditionConfig,
    blocks: BTreeMap<usize, Estimator<T>>,
    visiting: Option<(usize, Array<T>)>,
}

impl<T: Element> Precondition<T> {
    /// A preconditioner with nothing known yet.
    pub fn new(config: PreconditionConfig) -> Self {
        Precondition { config, blocks: BTreeMap::new(), visiting: None }
    }

    fn names(cx: &UpdateContext<'_, T>, prefix: &str, block: usize) -> (String, String) {
        let name = &cx.specs[block].name;
        (format!("{prefix}.average.{name}"), format!("{prefix}.visits.{name}"))
    }
}

impl<T: Element> Transform<T> for Precondition<T> {
    fn name(&self) -> &'static str {
        "curvature"
    }

    fn request(&mut self, cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        let block = self.config.cycle.block(cx.step).filter(|block| cx.members.contains(block));
        self.visiting = block.map(|block| {
            let value = &cx.values[block];
            let visit = self.blocks.get(&block).map_or(0, Estimator::visits);
            let mut z = Array::stale(value.pool(), value.shape().prepend(1));
            let entry = |j| T::from_f64((self.config.probe.entry)(self.config.seed, block, visit, j));
            z.make_mut().iter_mut().enumerate().for_each(|(j, z)| *z = entry(j));
            want.tangents.insert(block, z.clone());
            want.rows.push(block);
            (block, z)
        });
    }

    fn update(&mut self, cx: &UpdateContext<'_, T>, answer: &Answer<T>, updates: &mut [Option<Array<T>>]) {
        let c = &self.config;
        if let Some((block, z)) = self.visiting.take() {
            // A product that is absent is zero.
            let product =
                answer.products.get(block).cloned().unwrap_or_else(|| Array::zeros(z.pool(), z.shape()));
            let estimator = self.blocks.entry(block).or_default();
            let mut estimate = Array::stale(z.pool(), Shape::new(cx.values[block].shape().dims()));
            map::binary(estimate.make_mut(), z.as_slice(), product.as_slice(), |z, hz| z * hz);
            estimator.observe(c.averaging, c.decay, &estimate);
        }
        let (tau, eps) = (T::from_f64(c.tau), T::from_f64(c.eps));
        for &i in cx.members {
            let Some(m) = &mut updates[i] else { continue };
            let m = m.make_mut();
            let estimator = self.blocks.get(&i);
            let (average, numerator, scale) = match c.correction {
                // A block that has not been visited yet takes the first-order direction m.
                Correction::OwnVisits => match estimator {
                    None => continue,
                    Some(e) => (e.average(), T::ONE, T::from_f64(1.0 / e.correction(c.decay))),
                },
                // The ancestor leaves d uncorrected and scales D by 1−μⁿ; an unvisited block has d = 0.
                Correction::Cycles => {
                    let numerator = T::from_f64(c.cycle.ancestor_correction(cx.step, c.decay));
                    (estimator.and_then(Estimator::average), numerator, T::ONE)
                }
            };
            let rectify = |d: T| T::from_f64((c.rectifier.rectify)(d.to_f64(), eps.to_f64()));
            match average {
                Some(d) => {
                    let d = d.as_slice();
                    (0..m.len()).for_each(|j| m[j] = tau * m[j] * numerator / rectify(scale * d[j]));
                }
                None => m.iter_mut().for_each(|m| *m = tau * *m * numerator / rectify(T::ZERO)),
            }
        }
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        for (&block, estimator) in &self.blocks {
            let (average, visits) = Self::names(cx, prefix, block);
            to.arrays.extend(estimator.average().map(|d| (average, d.clone())));
            to.numbers.insert(visits, estimator.visits());
        }
    }

    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        self.blocks.clear();
        for &block in cx.members {
            let (average, visits) = Self::names(cx, prefix, block);
            if let Some(d) = from.take_array(&average, &cx.values[block])? {
                self.blocks.insert(block, Estimator::restored(d, from.take_number(&visits)));
            }
        }
        Ok(())
    }
}
