//! Newton in a Krylov space: θ ← θ − lr·D with D the saddle-free Newton step of all second-order blocks together, as far as m products with
//! their joint Hessian tell (docs/algorithm.md §8); another rule on the rest.

use super::sgd::{self, Sgd};
use crate::analysis::SaddleFreeSettings;
use crate::group::Group;
use crate::row::{Build, Context, Row, Task};
use crate::rule::{chosen_blocks, halves};
use crate::settings::{
    BACKTRACK, CURVATURE_BATCH, EPS, LR, Range, SECOND_ORDER, Setting, Settings, WEIGHT_DECAY_1D,
};
use crate::transforms::{self, AddDecayedWeights};
use crate::{AnyRule, Rule, SettingsError};
use sph_autodiff::{ParamSpec, Selection};
use sph_tensor::Element;

const SIZE: Setting = Setting::count(
    "krylov-size",
    "Products with the joint Hessian of all blocks per step: the dimension of the Krylov space",
);
const TRUST_RADIUS: Setting = Setting::number(
    "trust-radius",
    "Largest length of the direction in the Krylov space, before the learning rate",
    Range::Positive,
);

pub(super) const ROW: Row = Row {
    defaults,
    ..Row::new(
        "krylov",
        "saddle-free Newton in a Krylov space of all 1-D blocks together, SGD on the rest (or `first-order`)",
        &[
            SIZE.or(|| 10u64.into()),
            EPS.or(|| 0.1.into()),
            TRUST_RADIUS.or(|| 3.0.into()),
            CURVATURE_BATCH,
            WEIGHT_DECAY_1D.or(|| 0.0.into()),
        ],
        Build::Blocks { rest: |_, _| sgd::ROW.name, build },
    )
};

fn defaults(cx: &Context<'_>, _: &Settings) -> Settings {
    let Task::Adapt { batch, .. } = cx.task else { return Settings::default() };
    let mut s = newton_in_adaptation(cx)
        .with(EPS.name, 0.042)
        .with(SIZE.name, 5u64)
        // Far away is where it goes in few steps; backtracking guards it.
        .with(TRUST_RADIUS.name, 20.0);
    if let Some(images) = batch {
        // A quarter of a batch, but from 8 to 32 images. What more of them tell is not worth their time (docs/adapt.md); a few there must be,
        // for BatchNorm, too.
        let of = |n: f64| n / images as f64;
        s.set(CURVATURE_BATCH.name, of(32.0).min(0.25).max(of(8.0)).min(1.0));
    }
    s
}

/// What Newton steps take in adaptation: rates that served all settings of studies/adapt-digits.toml and adapt-fashion-mlp.toml best or next
/// to it (docs/results.md), a look at where a step leads, and the mean over the last half of the steps.
pub(super) fn newton_in_adaptation(cx: &Context<'_>) -> Settings {
    let mut s = Settings::default().with(AVERAGE_STEPS, true);
    if !cx.beside_unit_steps() {
        s.set(LR.name, cx.lr(0.1, 0.65));
    }
    if !cx.rest.is_some_and(|r| r.judges_steps) {
        s.set(BACKTRACK.name, 4u64);
    }
    s
}

/// Not an optimizer's setting but adaptation's: to take the mean of the last steps instead of the last point.
const AVERAGE_STEPS: &str = "average-steps";

fn build(s: &Settings, rest: AnyRule) -> Result<AnyRule, SettingsError> {
    Ok(AnyRule::new(Krylov {
        size: SIZE.count_in(s)? as usize,
        eps: EPS.number_in(s)?,
        trust_radius: s.number(TRUST_RADIUS.name),
        weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
        selection: selection(s)?,
        rest,
    }))
}

/// The choice of second-order blocks, where there is one.
pub(super) fn selection(s: &Settings) -> Result<Option<Selection>, SettingsError> {
    let Some(text) = s.name(SECOND_ORDER.name) else { return Ok(None) };
    text.parse().map(Some).map_err(|source| SettingsError::Selection {
        setting: SECOND_ORDER.name,
        selection: text.to_string(),
        source,
        note: None,
    })
}

/// Settings of Newton in a Krylov space.
///
/// ```
/// use sph_optim::presets::Krylov;
/// let krylov = Krylov { size: 20, ..Krylov::default() };
/// assert_eq!(krylov.trust_radius, Some(3.0));
/// ```
#[derive(Debug, Clone)]
pub struct Krylov {
    /// m ≥ 1: dimension of the space and products with the Hessian per step.
    pub size: usize,
    /// ε > 0: damping, added to absolute eigenvalues.
    pub eps: f64,
    /// The largest ‖D‖, greater than 0; `None` does not bound it.
    pub trust_radius: Option<f64>,
    /// Decay on blocks, applied beside D, at least 0.
    pub weight_decay_1d: f64,
    /// The blocks, as in [`super::SphDrs::selection`].
    pub selection: Option<Selection>,
    /// What is done with the other parameters.
    pub rest: AnyRule,
}

impl Default for Krylov {
    fn default() -> Self {
        Krylov {
            size: 10,
            eps: 0.1,
            trust_radius: Some(3.0),
            weight_decay_1d: 0.0,
            selection: None,
            rest: AnyRule::new(Sgd::default()),
        }
    }
}

impl Rule for Krylov {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        SIZE.check(self.size as u64)?;
        EPS.check(self.eps)?;
        self.trust_radius.map_or(Ok(()), |r| TRUST_RADIUS.check(r))?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        let (blocks, others) = halves(members, &self.blocks(specs)?);
        let mut groups = self.rest.groups(specs, &others)?;
        let settings = SaddleFreeSettings { size: self.size, eps: self.eps, trust_radius: self.trust_radius };
        groups.push(Group {
            name: "blocks",
            members: blocks,
            chain: vec![
                Box::new(transforms::Krylov { settings }),
                Box::new(AddDecayedWeights { weight_decay: self.weight_decay_1d }),
            ],
        });
        Ok(groups)
    }

    fn blocks(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        chosen_blocks(specs, self.selection.as_ref())
    }
}
