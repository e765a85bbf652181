//! AdamW (Loshchilov and Hutter 2019): θ ← θ − lr (m̂/(√v̂ + ε) + λθ).

use super::adam::ADAPTATION_LR;
use crate::group::Group;
use crate::row::{Build, Row};
use crate::rule::by_decay;
use crate::settings::{BETAS, LR, OPT_EPS, Settings, WEIGHT_DECAY, WEIGHT_DECAY_1D};
use crate::transforms::{AddDecayedWeights, ScaleByAdam};
use crate::{AnyRule, Rule, SettingsError};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

pub(super) const ROW: Row = Row {
    defaults: |cx, _| Settings::default().with(LR.name, cx.lr(1e-3, ADAPTATION_LR)),
    unit_steps: true,
    ..Row::new(
        "adamw",
        "AdamW; what transformers want",
        &[
            LR.or(|| 1e-3.into()),
            BETAS.or(|| DEFAULT.betas.into()),
            OPT_EPS.or(|| DEFAULT.eps.into()),
            WEIGHT_DECAY.or(|| DEFAULT.weight_decay.into()),
            WEIGHT_DECAY_1D.or(|| DEFAULT.weight_decay_1d.into()),
        ],
        Build::Any(|s| {
            Ok(AnyRule::new(AdamW {
                betas: BETAS.pair_in(s)?,
                eps: OPT_EPS.number_in(s)?,
                weight_decay: WEIGHT_DECAY.number_in(s)?,
                weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
            }))
        }),
    )
};

/// Settings of AdamW, PyTorch's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// Decays of the averages of g and g², each in [0, 1).
    pub betas: (f64, f64),
    /// Guards the division, greater than 0.
    pub eps: f64,
    /// Decoupled decay on weights, at least 0.
    pub weight_decay: f64,
    /// Decoupled decay on 1-D parameters, at least 0.
    pub weight_decay_1d: f64,
}

const DEFAULT: AdamW = AdamW { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.05, weight_decay_1d: 0.0 };

impl Default for AdamW {
    fn default() -> Self {
        DEFAULT
    }
}

impl Rule for AdamW {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        BETAS.check(self.betas)?;
        OPT_EPS.check(self.eps)?;
        WEIGHT_DECAY.check(self.weight_decay)?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        // Adam's direction, then decay.
        Ok(by_decay(specs, members, (self.weight_decay, self.weight_decay_1d), |weight_decay| {
            vec![
                Box::new(ScaleByAdam::new(self.betas, self.eps)),
                Box::new(AddDecayedWeights { weight_decay }),
            ]
        }))
    }
}
