//! AdaHessian (Yao et al. 2021): θ ← θ − lr (m̂/(v̂^{k/2} + ε) + λθ), v̂ the average of squared Hessian diagonals estimated by
//! Hutchinson's probes over all its parameters.

use crate::group::Group;
use crate::row::{Build, Row};
use crate::rule::by_decay;
use crate::settings::{
    BETAS, CURVATURE_BATCH, CURVATURE_EVERY, LR, OPT_EPS, Range, Setting, Settings, WEIGHT_DECAY,
    WEIGHT_DECAY_1D,
};
use crate::transforms::{AdaHessianConfig, AddDecayedWeights, DrawProbe, ScaleByAdaHessian, random_signs};
use crate::{AnyRule, Rule, SettingsError};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

const HESSIAN_POWER: Setting =
    Setting::number("hessian-power", "Hessian power k, greater than 0 and at most 1", Range::Fraction);

pub(super) const ROW: Row = Row {
    defaults: |cx, _| Settings::default().with(LR.name, cx.lr(0.15, 0.1)),
    ..Row::new(
        "adahessian",
        "AdaHessian: diagonal by Hutchinson's probes over all parameters",
        &[
            LR.or(|| 0.15.into()),
            BETAS.or(|| DEFAULT.betas.into()),
            OPT_EPS.or(|| DEFAULT.eps.into()),
            HESSIAN_POWER.or(|| DEFAULT.power.into()),
            CURVATURE_EVERY,
            CURVATURE_BATCH,
            WEIGHT_DECAY.or(|| DEFAULT.weight_decay.into()),
            WEIGHT_DECAY_1D.or(|| DEFAULT.weight_decay_1d.into()),
        ],
        Build::Any(|s| {
            Ok(AnyRule::new(AdaHessian {
                betas: BETAS.pair_in(s)?,
                eps: OPT_EPS.number_in(s)?,
                power: HESSIAN_POWER.number_in(s)?,
                every: CURVATURE_EVERY.count_in(s)?,
                weight_decay: WEIGHT_DECAY.number_in(s)?,
                weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
                seed: s.seed,
                draw: None,
            }))
        }),
    )
};

/// Settings of AdaHessian, its authors' defaults.
#[derive(Debug, Clone)]
pub struct AdaHessian {
    /// Decays of the averages of g and h², each in [0, 1).
    pub betas: (f64, f64),
    /// Guards the division, greater than 0.
    pub eps: f64,
    /// k in (0, 1]: 1 divides by the root mean square of the diagonal, less is closer to SGD.
    pub power: f64,
    /// Probes at each `every`-th step only, at least 1.
    pub every: u64,
    /// Decoupled decay on weights, at least 0.
    pub weight_decay: f64,
    /// Decoupled decay on 1-D parameters, at least 0.
    pub weight_decay_1d: f64,
    /// Seed of the probes.
    pub seed: u64,
    /// Probes of your own, in the place of [`random_signs`].
    pub draw: Option<DrawProbe>,
}

const DEFAULT: AdaHessian = AdaHessian {
    betas: (0.9, 0.999),
    eps: 1e-4,
    power: 1.0,
    every: 1,
    weight_decay: 5e-4,
    weight_decay_1d: 0.0,
    seed: 0,
    draw: None,
};

impl Default for AdaHessian {
    fn default() -> Self {
        DEFAULT
    }
}

impl Rule for AdaHessian {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        BETAS.check(self.betas)?;
        OPT_EPS.check(self.eps)?;
        HESSIAN_POWER.check(self.power)?;
        CURVATURE_EVERY.check(self.every)?;
        WEIGHT_DECAY.check(self.weight_decay)?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        let AdaHessian { betas, eps, power, every, .. } = *self;
        let draw = self.draw.clone().unwrap_or_else(|| random_signs(self.seed));
        // One group scales, so that one product serves all; the decays follow, each in its own.
        let scale = ScaleByAdaHessian::new(AdaHessianConfig { betas, eps, power, every, draw });
        let mut groups =
            vec![Group { name: "all", members: members.to_vec(), chain: vec![Box::new(scale) as _] }];
        groups.extend(by_decay(specs, members, (self.weight_decay, self.weight_decay_1d), |weight_decay| {
            vec![Box::new(AddDecayedWeights { weight_decay })]
        }));
        Ok(groups)
    }
}
