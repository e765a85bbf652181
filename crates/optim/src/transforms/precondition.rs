//! The Newton-type step on 1-D blocks (seed II-C; docs/algorithm.md §5): D = τ m / rectified(d), or for whole blocks
//! D = τ V rectified(Λ)⁻¹ Vᵀ m.
//!
//! d is a running average of what probes found of each block's curvature; m is what the links before this one made of the
//! gradient.

use crate::curvature::eigen::Eigen;
use crate::curvature::estimator::{Averaging, Correction, Estimator};
use crate::curvature::probes::{Estimate, Probe, Visit};
use crate::curvature::rectifiers::Rectifier;
use crate::curvature::{Answer, Curvature, EvalError, PROBES_PER_SWEEP, Request, Sweep, Visits};
use crate::state::{StateDict, StateError};
use crate::transform::{BlockReport, Transform, UpdateContext};
use sph_tensor::{Array, Element, Rng, Shape, kernels::map};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The strategies of a [`Precondition`].
#[derive(Debug, Clone)]
pub struct PreconditionConfig {
    /// Which blocks are visited at which step.
    pub visits: Visits,
    /// The vectors given to H.
    pub probe: Arc<dyn Probe>,
    /// Signed curvature to positive.
    pub rectifier: Arc<dyn Rectifier>,
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
    /// Caps τ/rectified.
    pub max_multiplier: Option<f64>,
    /// Seed of random probes.
    pub seed: u64,
}

impl PreconditionConfig {
    /// τ over the rectified curvature `d`, capped.
    fn multiplier(&self, d: f64) -> f64 {
        (self.tau / self.rectifier.rectify(d, self.eps)).min(self.max_multiplier.unwrap_or(f64::INFINITY))
    }
}

/// A sweep of the coming answer and whose probe each of its rows is: (block, number of the probe).
#[derive(Debug)]
struct Planned<T: Element> {
    sweep: usize,
    probes: Vec<(usize, usize)>,
    tangents: BTreeMap<usize, Array<T>>,
}

/// Divides each block by its averaged, rectified curvature, and keeps the averages.
#[derive(Debug)]
pub struct Precondition<T: Element> {
    config: PreconditionConfig,
    planned: Vec<Planned<T>>,
    blocks: BTreeMap<usize, Estimator<T>>,
    /// Decompositions of dense averages, by block; made when first needed after a visit.
    eigen: BTreeMap<usize, Eigen>,
    /// Of the blocks that the step at hand visits, or decomposes, what these are after it.
    next: (BTreeMap<usize, Estimator<T>>, BTreeMap<usize, Eigen>),
}

impl<T: Element> Precondition<T> {
    /// A preconditioner with nothing known yet.
    pub fn new(config: PreconditionConfig) -> Self {
        Precondition {
            config,
            planned: Vec::new(),
            blocks: BTreeMap::new(),
            eigen: BTreeMap::new(),
            next: Default::default(),
        }
    }

    fn visits(&self, block: usize) -> u64 {
        self.blocks.get(&block).map_or(0, Estimator::visits)
    }

    fn probe(&self, block: usize, k: usize, entries: usize) -> Vec<f64> {
        let mut z = vec![0.0; entries];
        let visit = Visit { seed: self.config.seed, block, visit: self.visits(block) };
        self.config.probe.fill(visit, k, &mut z);
        z
    }

    /// One probe over all blocks: cross-block terms have mean zero because each block has a random sign of its own.
    fn joint(&self, cx: &UpdateContext<'_, T>, blocks: &[usize]) -> Vec<Planned<T>> {
        let part = |&block: &usize| {
            let value = &cx.values[block];
            let sign = Rng::new(self.config.seed, "joint", block as u64, self.visits(block)).sign();
            let z: Vec<T> =
                self.probe(block, 0, value.shape().len()).iter().map(|z| T::from_f64(sign * z)).collect();
            (block, Array::from_slice(value.pool(), value.shape().prepend(1), &z))
        };
        let probes = blocks.iter().map(|&b| (b, 0)).collect();
        vec![Planned { sweep: 0, probes, tangents: blocks.iter().map(part).collect() }]
    }

    /// The probes of `blocks`, a few to a sweep; each has its own row of the probe axis.
    fn separate(&self, cx: &UpdateContext<'_, T>, blocks: &[usize]) -> Vec<Planned<T>> {
        let entries = |block: usize| cx.values[block].shape().len();
        let all: Vec<(usize, usize)> = blocks
            .iter()
            .flat_map(|&b| (0..self.config.probe.count(entries(b))).map(move |k| (b, k)))
            .collect();
        let sweep = |probes: &[(usize, usize)]| {
            let mut tangents: BTreeMap<usize, Array<T>> = BTreeMap::new();
            for (row, &(block, k)) in probes.iter().enumerate() {
                let (value, n) = (&cx.values[block], entries(block));
                let zeros = || Array::zeros(value.pool(), value.shape().prepend(probes.len()));
                let tangent = tangents.entry(block).or_insert_with(zeros);
                let z = self.probe(block, k, n);
                tangent.make_mut()[row * n..(row + 1) * n]
                    .iter_mut()
                    .zip(z)
                    .for_each(|(t, z)| *t = T::from_f64(z));
            }
            Planned { sweep: 0, probes: probes.to_vec(), tangents }
        };
        all.chunks(PROBES_PER_SWEEP).map(sweep).collect()
    }

    /// What the answer says about each block visited.
    fn estimates(&mut self, cx: &UpdateContext<'_, T>, answer: &Answer<T>) -> BTreeMap<usize, Array<T>> {
        let whole = self.config.probe.estimate() == Estimate::Block;
        let joint = self.config.visits.joint();
        let mut estimates: BTreeMap<usize, Array<T>> = BTreeMap::new();
        for planned in self.planned.drain(..) {
            for (row, &(block, k)) in planned.probes.iter().enumerate() {
                let (value, row) = (&cx.values[block], if joint { 0 } else { row });
                let n = value.shape().len();
                let shape = if whole { Shape::new(&[n, n]) } else { value.shape() };
                let estimate = estimates.entry(block).or_insert_with(|| Array::zeros(value.pool(), shape));
                // A product that is absent is zero.
                let Some(product) = answer.products[planned.sweep].get(block) else { continue };
                let (z, hz) = (planned.tangents[&block].part(row), product.part(row));
                let out = estimate.make_mut();
                if whole {
                    out[k * n..(k + 1) * n].copy_from_slice(hz);
                } else {
                    (0..n).for_each(|j| out[j] += z[j] * hz[j]);
                }
            }
        }
        estimates
    }

    /// A block's average and what it is to be multiplied by; `None` while nothing is known.
    fn average<'a>(c: &PreconditionConfig, block: Option<&'a Estimator<T>>) -> Option<(&'a Array<T>, f64)> {
        match c.correction {
            Correction::OwnVisits => block?.curvature(&*c.probe, c.decay),
            // The ancestor leaves d uncorrected.
            Correction::Cycles => Some((block?.average()?, 1.0)),
        }
    }

    /// The averaged curvature of a block, entry by entry, or eigenvalue by eigenvalue for whole blocks.
    fn curvature(&self, block: usize) -> Option<Vec<f64>> {
        let (average, scale) = Self::average(&self.config, self.blocks.get(&block))?;
        match self.config.probe.estimate() {
            Estimate::Entries => Some(average.to_f64().iter().map(|d| scale * d).collect()),
            Estimate::Block => match self.eigen.get(&block) {
                Some(eigen) => Some(eigen.values().to_vec()),
                None => Some(Eigen::new(average.as_slice(), average.shape()[0], scale)?.values().to_vec()),
            },
        }
    }

    fn names(cx: &UpdateContext<'_, T>, prefix: &str, block: usize) -> [String; 3] {
        ["average", "partial", "visits"].map(|part| format!("{prefix}.{part}.{}", cx.specs[block].name))
    }
}

impl<T: Element> Transform<T> for Precondition<T> {
    fn name(&self) -> &'static str {
        "curvature"
    }

    fn request(&mut self, cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        self.planned.clear();
        for blocks in self.config.visits.at(cx.step) {
            let sweeps =
                if self.config.visits.joint() { self.joint(cx, &blocks) } else { self.separate(cx, &blocks) };
            for mut planned in sweeps {
                let mut sweep = Sweep::default();
                for (&block, tangent) in &planned.tangents {
                    sweep.tangents.insert(block, tangent.clone());
                    sweep.rows.push(block);
                }
                planned.sweep = want.sweeps.len();
                self.planned.push(planned);
                want.sweeps.push(sweep);
            }
        }
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        _f: &mut dyn Curvature<T>,
        answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        let estimates = self.estimates(cx, answer);
        let c = &self.config;
        let new = Estimator::default();
        let observed = |(block, estimate): (usize, Array<T>)| {
            let before = self.blocks.get(&block).unwrap_or(&new);
            (block, before.after(&*c.probe, c.averaging, c.decay, estimate))
        };
        // An average would never forget one that is not finite: such a visit does not count.
        let finite = |estimate: &(usize, Array<T>)| map::all_finite(estimate.1.as_slice());
        let visited: BTreeMap<usize, Estimator<T>> =
            estimates.into_iter().filter(finite).map(observed).collect();
        let mut decomposed = BTreeMap::new();
        let multiplier = |d: f64| c.multiplier(d);
        for &i in cx.members {
            let Some(m) = &mut updates[i] else { continue };
            let m = m.make_mut();
            let average = Self::average(c, visited.get(&i).or(self.blocks.get(&i)));
            let numerator = match c.correction {
                // A block that has not been visited yet takes the first-order direction m.
                Correction::OwnVisits if average.is_none() => continue,
                Correction::OwnVisits => 1.0,
                // The ancestor scales D by 1−μⁿ; an unvisited block has d = 0.
                Correction::Cycles => c.visits.ancestor_correction(cx.step, c.decay),
            };
            let (average, scale) = average.map_or((None, 1.0), |(average, scale)| (Some(average), scale));
            if let (Estimate::Block, Some(h)) = (c.probe.estimate(), average) {
                let known = self.eigen.get(&i).filter(|_| !visited.contains_key(&i));
                if known.is_none()
                    && let Some(eigen) = Eigen::new(h.as_slice(), m.len(), scale)
                {
                    decomposed.insert(i, eigen);
                }
                match known.or(decomposed.get(&i)) {
                    Some(eigen) => eigen.apply(multiplier, m),
                    // The decomposition did not converge: the diagonal is what is left.
                    None => {
                        let n = m.len();
                        let d = |j: usize| scale * h.as_slice()[j * n + j].to_f64();
                        (0..n).for_each(|j| m[j] = T::from_f64(m[j].to_f64() * multiplier(d(j))));
                    }
                }
                continue;
            }
            let d = |j: usize| average.map_or(0.0, |d| scale * d.as_slice()[j].to_f64());
            (0..m.len()).for_each(|j| m[j] = T::from_f64(m[j].to_f64() * numerator * multiplier(d(j))));
        }
        self.next = (visited, decomposed);
        Ok(())
    }

    fn commit(&mut self) {
        let (visited, decomposed) = std::mem::take(&mut self.next);
        visited.keys().for_each(|block| drop(self.eigen.remove(block)));
        self.blocks.extend(visited);
        self.eigen.extend(decomposed);
    }

    fn report(&self, cx: &UpdateContext<'_, T>) -> Vec<BlockReport> {
        let one = |&block: &usize| {
            let d = self.curvature(block)?;
            let mut multipliers: Vec<f64> = d.iter().map(|d| self.config.multiplier(*d)).collect();
            multipliers.sort_by(f64::total_cmp);
            Some(BlockReport {
                block: cx.specs[block].name.clone(),
                visits: self.visits(block),
                trace: d.iter().sum(),
                min: d.iter().copied().fold(f64::INFINITY, f64::min),
                max: d.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                negative: d.iter().filter(|d| **d < 0.0).count() as f64 / d.len() as f64,
                multipliers,
            })
        };
        cx.members.iter().filter_map(one).collect()
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        for (&block, estimator) in &self.blocks {
            let [average, partial, visits] = Self::names(cx, prefix, block);
            to.arrays.extend(estimator.average().map(|d| (average, d.clone())));
            to.arrays.extend(estimator.partial.as_ref().map(|d| (partial, d.clone())));
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
        self.eigen.clear();
        for &block in cx.members {
            let names = Self::names(cx, prefix, block);
            let value = &cx.values[block];
            let n = value.shape().len();
            let like = match self.config.probe.estimate() {
                Estimate::Entries => value.clone(),
                Estimate::Block => Array::zeros(value.pool(), Shape::new(&[n, n])),
            };
            // A block that was never visited has none.
            let visits = from.take_number(&names[2]).unwrap_or(0);
            if visits > 0 {
                let [average, partial] = [&names[0], &names[1]].map(|name| from.take_array(name, &like));
                let estimator = Estimator::restored(average?, partial?, visits);
                if let Some(part) = estimator.lacks(&*self.config.probe, n) {
                    return Err(StateError::Missing(names[part].clone()));
                }
                self.blocks.insert(block, estimator);
            }
        }
        Ok(())
    }
}
