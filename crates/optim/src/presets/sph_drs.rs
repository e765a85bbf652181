//! SPH-DRS: Newton-type steps on 1-D blocks by exact partial curvature, momentum SGD or another first-order step on the rest
//! (docs/algorithm.md §5).
//!
//! On a block b:  θ_b ← θ_b − lr (τ m_b / rectified(d_b) + λ_b θ_b), with momentum m_b of the gradient and d_b the average of
//! what the probes found.

use super::{AdamW, SettingsError, Sgd, select};
use crate::curvature::estimator::{Averaging, Correction};
use crate::curvature::probes::{Estimate, PROBES, Probe};
use crate::curvature::rectifiers::{RECTIFIERS, Rectifier};
use crate::curvature::{Schedule, ScheduleKind};
use crate::group::{Group, Optimizer};
use crate::transform::Transform;
use crate::transforms::{AddDecayedWeights, Drs, DrsConfig, Momentum, Precondition, PreconditionConfig};
use sph_autodiff::{ParamSpec, Role, Selection};
use sph_tensor::Element;

/// What is done with the parameters that are not second-order blocks; weight decays in it are replaced by the optimizer's own.
#[derive(Debug, Clone, PartialEq)]
pub enum FirstOrder {
    /// Momentum SGD.
    Sgd,
    /// AdamW, which transformers want. Its usual rate is a hundredth of SGD's, so τ wants to be [`SphDrs::TAU_WITH_ADAMW`].
    AdamW(AdamW),
    /// Dimension-reduced second-order steps, our reading of the letters "DRS".
    Drs(DrsConfig),
}

/// Settings of SPH-DRS.
///
/// ```
/// use sph_optim::presets::SphDrs;
/// let ours = SphDrs { tau: 0.1, ..SphDrs::default() };
/// let ancestor = SphDrs::seed();
/// assert_eq!(ancestor.weight_decay, 0.0);
/// assert_eq!((ours.probe.name, ours.rectifier.name), ("ones", "absolute"));
/// ```
#[derive(Debug, Clone)]
pub struct SphDrs {
    /// μ in [0, 1), for blocks and for the rest.
    pub momentum: f64,
    /// L2 on weights, inside their momentum.
    pub weight_decay: f64,
    /// On 1-D parameters; on second-order blocks it is applied after preconditioning.
    pub weight_decay_1d: f64,
    /// τ > 0: scales the direction of blocks.
    pub tau: f64,
    /// ε > 0: damping, added to the rectified curvature.
    pub eps: f64,
    /// β in [0, 1): decay of the curvature's average.
    pub curvature_decay: f64,
    /// What is averaged.
    pub averaging: Averaging,
    /// The probe sequence.
    pub probe: &'static Probe,
    /// Signed to positive.
    pub rectifier: &'static Rectifier,
    /// Which blocks are visited at which step.
    pub schedule: ScheduleKind,
    /// Visits at each `every`-th step only; between them the last estimates are kept.
    pub every: u64,
    /// Caps τ/rectified.
    pub max_multiplier: Option<f64>,
    /// Seed of random probes.
    pub seed: u64,
    /// The second-order blocks among the parameters that can be one; by role ([`ParamSpec::is_second_order`]) when `None`.
    pub selection: Option<Selection>,
    /// What is done with the other parameters.
    pub first_order: FirstOrder,
    /// The ancestor's bias correction and cycle, to the letter ([`SphDrs::seed`]).
    pub ancestor: bool,
}

/// Largest block that the probe `dense` takes: its decomposition costs about n³ operations per visit.
const DENSE_LIMIT: usize = 2048;

impl Default for SphDrs {
    fn default() -> Self {
        SphDrs {
            momentum: 0.9,
            weight_decay: 5e-4,
            weight_decay_1d: 0.0,
            tau: 1e-2,
            eps: 1e-3,
            curvature_decay: 0.9,
            averaging: Averaging::Signed,
            probe: &PROBES[0],
            rectifier: &RECTIFIERS[0],
            schedule: ScheduleKind::Cyclic,
            every: 1,
            max_multiplier: None,
            seed: 0,
            selection: None,
            first_order: FirstOrder::Sgd,
            ancestor: false,
        }
    }
}

impl SphDrs {
    /// τ beside AdamW, whose usual rate, 0.001, is a hundredth of SGD's.
    pub const TAU_WITH_ADAMW: f64 = 0.1;

    /// The ancestor's step to the letter (arXiv 2403.02681; docs/algorithm.md §5, `--preset seed`): lr 0.1 expected, averages of
    /// |H·1| with decay μ, D = τ m (1−μⁿ)/(d+ε), τ 0.001, ε 0.0001, the classifier's bias counted in the cycle but updated first-order.
    pub fn seed() -> Self {
        SphDrs {
            weight_decay: 0.0,
            averaging: Averaging::Absolute,
            tau: 1e-3,
            eps: 1e-4,
            ancestor: true,
            ..SphDrs::default()
        }
    }

    /// The second-order blocks among `specs`, in order, chosen by role.
    pub fn blocks(specs: &[ParamSpec]) -> Vec<usize> {
        select(specs, |s| s.is_second_order())
    }

    /// The second-order blocks that these settings choose.
    ///
    /// # Errors
    /// When a term of the selection chooses none, or there are none.
    pub fn chosen(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        let Some(selection) = &self.selection else {
            let blocks = Self::blocks(specs);
            if blocks.is_empty() {
                return Err(SettingsError(
                    "the model has no second-order blocks that are trained (scales or shifts of norms, magnitudes); decouple its layers, or use \
                     sgd or adamw"
                        .into(),
                ));
            }
            return Ok(blocks);
        };
        let eligible = |s: &ParamSpec| !s.frozen && s.may_be_second_order();
        let fail = |e: sph_autodiff::SelectionError| {
            SettingsError(format!(
                "second-order blocks: {e} (scales and shifts of norms, magnitudes and biases can be, the classifier's and attention's \
                 input bias cannot)"
            ))
        };
        selection.select(specs, eligible).map_err(fail)
    }

    /// Whether these settings make sense together and for `specs`.
    ///
    /// # Errors
    /// Saying what does not, and what to do.
    pub fn validate(&self, specs: &[ParamSpec]) -> Result<(), SettingsError> {
        let fail = |reason: String| Err(SettingsError(reason));
        let probe = self.probe.name;
        if self.schedule == ScheduleKind::Joint && !self.probe.joint {
            return fail(format!(
                "schedule 'joint' takes the probes 'ones' and 'rademacher', not '{probe}'; use 'cyclic' or 'all'"
            ));
        }
        if self.averaging == Averaging::Absolute
            && !(self.probe.absolute && self.schedule != ScheduleKind::Joint)
        {
            let culprit = match self.schedule {
                ScheduleKind::Joint => "the schedule 'joint'".to_string(),
                _ => format!("the probe '{probe}'"),
            };
            return fail(format!(
                "absolute averages are biased under {culprit}; use 'signed', or 'ones' or 'exact' with 'cyclic' or \
                 'all'"
            ));
        }
        if self.ancestor && (probe != "ones" || self.schedule != ScheduleKind::Cyclic || self.every != 1) {
            return fail(
                "the preset 'seed' is the probe 'ones' with the schedule 'cyclic' at every step".into(),
            );
        }
        let blocks = self.chosen(specs)?;
        if self.probe.estimate == Estimate::Block
            && let Some(block) = blocks.iter().map(|&b| &specs[b]).find(|s| s.len() > DENSE_LIMIT)
        {
            let (name, n) = (&block.name, block.len());
            return fail(format!(
                "block '{name}' has {n} entries; the probe 'dense' takes up to {DENSE_LIMIT}; use 'rademacher'"
            ));
        }
        Ok(())
    }

    /// The optimizer over `specs`.
    ///
    /// # Errors
    /// As [`SphDrs::validate`].
    pub fn build<T: Element>(&self, specs: &[ParamSpec]) -> Result<Optimizer<T>, SettingsError> {
        self.validate(specs)?;
        let blocks = self.chosen(specs)?;
        let mut chosen = vec![false; specs.len()];
        blocks.iter().for_each(|&b| chosen[b] = true);
        let others = |f: &dyn Fn(&ParamSpec) -> bool| -> Vec<usize> {
            select(specs, f).into_iter().filter(|&i| !chosen[i]).collect()
        };
        let is_head_bias = |s: &ParamSpec| s.head && s.role == Role::Bias;
        let slots: Vec<Option<usize>> = if self.ancestor {
            // Every 1-D tensor has a slot; the classifier's bias visits nothing.
            (0..specs.len())
                .filter(|&i| chosen[i] || is_head_bias(&specs[i]))
                .map(|i| Some(i).filter(|&i| chosen[i]))
                .collect()
        } else {
            blocks.iter().copied().map(Some).collect()
        };
        let (correction, decay) = if self.ancestor {
            (Correction::Cycles, self.momentum)
        } else {
            (Correction::OwnVisits, self.curvature_decay)
        };
        let by_decay = |chain: &dyn Fn(f64) -> Vec<Box<dyn Transform<T>>>| {
            let group = |name, members, decay| Group { name, members, chain: chain(decay) };
            vec![
                group("weights", others(&|s| !s.is_1d()), self.weight_decay),
                group("1d", others(&ParamSpec::is_1d), self.weight_decay_1d),
            ]
        };
        let mut groups = match &self.first_order {
            FirstOrder::Sgd => {
                let sgd = Sgd { momentum: self.momentum, nesterov: false, ..Sgd::default() };
                by_decay(&|decay| sgd.chain(decay))
            }
            FirstOrder::AdamW(adamw) => by_decay(&|decay| adamw.chain(decay)),
            FirstOrder::Drs(config) => {
                let (weight_decay, weight_decay_1d) = (self.weight_decay, self.weight_decay_1d);
                let config = DrsConfig { weight_decay, weight_decay_1d, ..config.clone() };
                vec![Group {
                    name: "drs",
                    members: others(&|_| true),
                    chain: vec![Box::new(Drs::new(config))],
                }]
            }
        };
        let second_order = Group {
            name: "blocks",
            members: blocks,
            chain: vec![
                Box::new(Momentum::new(self.momentum, false)),
                Box::new(Precondition::new(PreconditionConfig {
                    schedule: Schedule::new(self.schedule, self.every, &slots, specs),
                    probe: self.probe,
                    rectifier: self.rectifier,
                    averaging: self.averaging,
                    correction,
                    decay,
                    tau: self.tau,
                    eps: self.eps,
                    max_multiplier: self.max_multiplier,
                    seed: self.seed,
                })),
                Box::new(AddDecayedWeights { weight_decay: self.weight_decay_1d }),
            ],
        };
        groups.push(second_order);
        Ok(Optimizer::new(specs, groups))
    }
}
