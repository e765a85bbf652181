//! SPH-DRS: Newton-type steps on 1-D blocks by exact partial curvature, another rule on the rest (docs/algorithm.md §5).
//!
//! On a block b:  θ_b ← θ_b − lr (τ m_b / rectified(d_b) + λ_b θ_b), with momentum m_b of the gradient and d_b the average of
//! what the probes found.

use super::adamw;
use super::krylov::{newton_in_adaptation, selection};
use super::sgd::{self, Sgd};
use crate::curvature::Visits;
use crate::curvature::estimator::{AVERAGES, Averaging, Correction};
use crate::curvature::probes::{self, Estimate, Ones, Probe, Rademacher, probes};
use crate::curvature::rectifiers::{self, Absolute, Rectifier, rectifiers};
use crate::curvature::schedules::{self, All, Cyclic, Joint, Schedule, schedules};
use crate::group::Group;
use crate::row::{Build, Context, Row, Task};
use crate::rule::{chosen_blocks, halves};
use crate::settings::{
    CURVATURE_BATCH, CURVATURE_EVERY, EPS, LR, MOMENTUM, Range, Setting, Settings, WEIGHT_DECAY,
    WEIGHT_DECAY_1D, named,
};
use crate::transforms::{AddDecayedWeights, Momentum, Precondition, PreconditionConfig};
use crate::{AnyRule, Rule, SettingsError};
use sph_autodiff::{ParamSpec, Role, Selection};
use sph_tensor::Element;
use std::sync::Arc;

const PRESET: Setting = Setting::one_of("preset", "Named settings of the whole optimizer", || {
    named([(SEED, "the ancestor's step to the letter")])
});
const SEED: &str = "seed";
const TAU: Setting = Setting::number("tau", "Scale τ of the direction on 1-D blocks", Range::Positive);
const CURVATURE_DECAY: Setting =
    Setting::number("curvature-decay", "Decay β of the curvature's average", Range::BelowOne);
const AVERAGE: Setting =
    Setting::one_of("average", "What is averaged: signed curvature or its absolute value", || {
        named(AVERAGES.iter().map(|a| (a.0, a.2)))
    });
const PROBE: Setting =
    Setting::one_of("probe", "Probe sequence", || named(probes().iter().map(|p| (p.name(), p.about()))));
const SCHEDULE: Setting =
    Setting::one_of("curvature-schedule", "Which blocks are visited at which step", || {
        named(schedules().iter().map(|s| (s.name(), s.about())))
    });
const MAX_MULTIPLIER: Setting =
    Setting::number("max-multiplier", "Cap of the multiplier τ/rectified", Range::Positive);
const RECTIFIER: Setting = Setting::one_of("rectifier", "How curvature is made positive", || {
    named(rectifiers().iter().map(|r| (r.name(), r.about())))
});

pub(super) const ROW: Row = Row {
    defaults,
    check,
    ..Row::new(
        "sph",
        "SPH-DRS: Newton-type on 1-D blocks, SGD on the rest (or `first-order`)",
        &[
            PRESET,
            MOMENTUM.or(|| 0.9.into()),
            TAU.or(|| 1e-2.into()),
            EPS.or(|| 1e-3.into()),
            CURVATURE_DECAY.or(|| 0.9.into()),
            AVERAGE.or(|| "signed".into()),
            PROBE.or(|| Ones.name().to_string().into()),
            SCHEDULE.or(|| Cyclic.name().to_string().into()),
            CURVATURE_EVERY,
            CURVATURE_BATCH,
            MAX_MULTIPLIER,
            RECTIFIER.or(|| Absolute.name().to_string().into()),
            WEIGHT_DECAY_1D.or(|| 0.0.into()),
        ],
        Build::Blocks { rest, build },
    )
};

/// In training, small corrections of the rest's steps. In adaptation Newton's step as it is (τ = 1) from curvature of every block at every step.
fn defaults(cx: &Context<'_>, given: &Settings) -> Settings {
    let s = Settings::default();
    if given.get(PRESET.name).is_some() {
        // A named preset stays what it is, whatever the task. It has one weight decay, none by default.
        let decay = given.number(WEIGHT_DECAY.name).unwrap_or(0.0);
        return s
            .with(LR.name, 0.1)
            .with(WEIGHT_DECAY.name, 0.0)
            .with(WEIGHT_DECAY_1D.name, decay)
            .with(AVERAGE.name, "absolute")
            .with(TAU.name, 1e-3)
            .with(EPS.name, 1e-4);
    }
    let beside_unit_steps = cx.beside_unit_steps();
    let Task::Adapt { labels, .. } = cx.task else {
        let mut s = s;
        if beside_unit_steps {
            s.set(TAU.name, SphDrs::TAU_WITH_ADAMW);
        } else if !cx.norms {
            // Nothing holds large steps back: no block moves further than the rest's rule would move it.
            s.set(MAX_MULTIPLIER.name, 1.0);
        }
        return s;
    };
    let probe = given.name(PROBE.name).and_then(probes::find);
    let joint = probe.is_none_or(|p| p.joint());
    newton_in_adaptation(cx)
        .with(MOMENTUM.name, 0.0)
        // Newton's step has the same length beside either: the ratio of their rates, to which a division would not round.
        .with(TAU.name, if beside_unit_steps { 25.0 } else { 1.0 })
        // Small curvature means less yet where no label says which way.
        .with(EPS.name, if labels { 0.042 } else { 0.42 })
        .with(PROBE.name, Rademacher.name().to_string())
        .with(SCHEDULE.name, if joint { Joint.name() } else { All.name() }.to_string())
}

/// Weights of transformers and mixers want AdamW (docs/results.md).
fn rest(cx: &Context<'_>, given: &Settings) -> &'static str {
    let preset = given.get(PRESET.name).is_some();
    if cx.tokens && !preset { adamw::ROW.name } else { sgd::ROW.name }
}

fn check(given: &Settings, rest: Option<&Row>) -> Result<(), SettingsError> {
    let conflict = |setting: &str, reason| {
        let with = format!("`{}` {SEED}", PRESET.name);
        Err(SettingsError::Conflict { setting: setting.into(), value: None, with, reason })
    };
    match () {
        () if given.get(PRESET.name).is_none() => Ok(()),
        () if given.get(CURVATURE_DECAY.name).is_some() => {
            conflict(CURVATURE_DECAY.name, "averages curvature with `momentum`")
        }
        () if rest.is_some_and(|r| r.name != sgd::ROW.name) => {
            conflict("first-order", "is SGD on the other parameters")
        }
        () => Ok(()),
    }
}

fn build(s: &Settings, rest: AnyRule) -> Result<AnyRule, SettingsError> {
    let unknown = |kind, name: &str| SettingsError::Unknown { kind, name: name.into(), known: Vec::new() };
    let (average, probe) = (AVERAGE.name_in(s)?, PROBE.name_in(s)?);
    let (rectifier, schedule) = (RECTIFIER.name_in(s)?, SCHEDULE.name_in(s)?);
    Ok(AnyRule::new(SphDrs {
        momentum: MOMENTUM.number_in(s)?,
        weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
        tau: TAU.number_in(s)?,
        eps: EPS.number_in(s)?,
        curvature_decay: CURVATURE_DECAY.number_in(s)?,
        averaging: AVERAGES.iter().find(|a| a.0 == average).ok_or_else(|| unknown("average", average))?.1,
        probe: probes::find(probe).ok_or_else(|| unknown("probe", probe))?,
        rectifier: rectifiers::find(rectifier).ok_or_else(|| unknown("rectifier", rectifier))?,
        schedule: schedules::find(schedule).ok_or_else(|| unknown("schedule", schedule))?,
        every: CURVATURE_EVERY.count_in(s)?,
        max_multiplier: s.number(MAX_MULTIPLIER.name),
        seed: s.seed,
        selection: selection(s)?,
        rest,
        ancestor: s.name(PRESET.name) == Some(SEED),
    }))
}

/// Settings of SPH-DRS.
///
/// ```
/// use sph_optim::presets::{AdamW, SphDrs};
/// use sph_optim::AnyRule;
/// let ours = SphDrs { tau: 0.1, rest: AnyRule::new(AdamW::default()), ..SphDrs::default() };
/// let ancestor = SphDrs::seed();
/// assert_eq!((ancestor.tau, ours.tau), (0.001, 0.1));
/// assert_eq!((ours.probe.name(), ours.rectifier.name()), ("ones", "absolute"));
/// ```
#[derive(Debug, Clone)]
pub struct SphDrs {
    /// μ in [0, 1) of blocks.
    pub momentum: f64,
    /// Decay on blocks, applied after preconditioning, at least 0.
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
    pub probe: Arc<dyn Probe>,
    /// Signed to positive.
    pub rectifier: Arc<dyn Rectifier>,
    /// Which blocks are visited at which step.
    pub schedule: Arc<dyn Schedule>,
    /// Visits at each `every`-th step only, at least 1; between them the last estimates are kept.
    pub every: u64,
    /// Caps τ/rectified, greater than 0.
    pub max_multiplier: Option<f64>,
    /// Seed of random probes.
    pub seed: u64,
    /// The second-order blocks among the parameters that can be one; by role ([`ParamSpec::is_second_order`]) when `None`.
    pub selection: Option<Selection>,
    /// What is done with the other parameters: any rule. τ wants to be [`SphDrs::TAU_WITH_ADAMW`] beside AdamW.
    pub rest: AnyRule,
    /// The ancestor's bias correction and cycle, to the letter ([`SphDrs::seed`]).
    pub ancestor: bool,
}

/// Largest block that the probe `dense` takes: its decomposition costs about n³ operations per visit.
const DENSE_LIMIT: usize = 2048;

impl Default for SphDrs {
    fn default() -> Self {
        SphDrs {
            momentum: 0.9,
            weight_decay_1d: 0.0,
            tau: 1e-2,
            eps: 1e-3,
            curvature_decay: 0.9,
            averaging: Averaging::Signed,
            probe: Arc::new(Ones),
            rectifier: Arc::new(Absolute),
            schedule: Arc::new(Cyclic),
            every: 1,
            max_multiplier: None,
            seed: 0,
            selection: None,
            rest: AnyRule::new(Sgd::default()),
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
            averaging: Averaging::Absolute,
            tau: 1e-3,
            eps: 1e-4,
            ancestor: true,
            rest: AnyRule::new(Sgd { weight_decay: 0.0, ..Sgd::default() }),
            ..SphDrs::default()
        }
    }

    /// Whether these settings make sense together and for these blocks among `specs`.
    fn check(&self, specs: &[ParamSpec], blocks: &[usize]) -> Result<(), SettingsError> {
        MOMENTUM.check(self.momentum)?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        TAU.check(self.tau)?;
        EPS.check(self.eps)?;
        CURVATURE_DECAY.check(self.curvature_decay)?;
        CURVATURE_EVERY.check(self.every)?;
        self.max_multiplier.map_or(Ok(()), |m| MAX_MULTIPLIER.check(m))?;
        let conflict = |setting: Setting, value: &str, with: String, reason| {
            let (setting, value) = (setting.name.to_string(), Some(value.to_string()));
            Err(SettingsError::Conflict { setting, value, with, reason })
        };
        let (probe, schedule) = (self.probe.name(), self.schedule.name());
        if self.schedule.joint() && !self.probe.joint() {
            return conflict(
                SCHEDULE,
                schedule,
                format!("the probe '{probe}'"),
                "cannot cover all blocks at once; use 'cyclic' or 'all'",
            );
        }
        if self.averaging == Averaging::Absolute && (self.schedule.joint() || !self.probe.absolute()) {
            let with = match self.schedule.joint() {
                true => format!("the schedule '{schedule}'"),
                false => format!("the probe '{probe}'"),
            };
            return conflict(
                AVERAGE,
                "absolute",
                with,
                "biases absolute averages; use 'signed', or 'ones' or 'exact' with 'cyclic' or 'all'",
            );
        }
        if self.ancestor && (probe != Ones.name() || schedule != Cyclic.name() || self.every != 1) {
            let with = format!("`{}` {SEED}", PRESET.name);
            return conflict(
                PROBE,
                probe,
                with,
                "is the probe 'ones' with the schedule 'cyclic' at every step",
            );
        }
        if self.probe.estimate() == Estimate::Block
            && let Some(block) = blocks.iter().map(|&b| &specs[b]).find(|s| s.len() > DENSE_LIMIT)
        {
            return Err(SettingsError::TooLarge {
                block: block.name.clone(),
                entries: block.len(),
                probe: probe.into(),
                limit: DENSE_LIMIT,
            });
        }
        Ok(())
    }
}

impl Rule for SphDrs {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        let (blocks, others) = halves(members, &self.blocks(specs)?);
        self.check(specs, &blocks)?;
        let is_head_bias = |s: &ParamSpec| s.head && s.role == Role::Bias;
        let slots: Vec<Option<usize>> = if self.ancestor {
            // Every 1-D tensor has a slot; the classifier's bias visits nothing.
            (0..specs.len())
                .filter(|i| blocks.contains(i) || is_head_bias(&specs[*i]))
                .map(|i| Some(i).filter(|i| blocks.contains(i)))
                .collect()
        } else {
            blocks.iter().copied().map(Some).collect()
        };
        let (correction, decay) = if self.ancestor {
            (Correction::Cycles, self.momentum)
        } else {
            (Correction::OwnVisits, self.curvature_decay)
        };
        let mut groups = self.rest.groups(specs, &others)?;
        groups.push(Group {
            name: "blocks",
            members: blocks,
            chain: vec![
                Box::new(Momentum::new(self.momentum, false)),
                Box::new(Precondition::new(PreconditionConfig {
                    visits: Visits::new(self.schedule.clone(), self.every, &slots, specs),
                    probe: self.probe.clone(),
                    rectifier: self.rectifier.clone(),
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
        });
        Ok(groups)
    }

    fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        chosen_blocks(specs, self.selection.as_ref())
    }
}
