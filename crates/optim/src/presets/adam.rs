//! Adam (Kingma and Ba 2015), PyTorch's form: g ← g + λθ; θ ← θ − lr m̂/(√v̂ + ε).

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
        "adam",
        "Adam, L2 inside its averages",
        &[
            LR.or(|| 1e-3.into()),
            BETAS.or(|| DEFAULT.betas.into()),
            OPT_EPS.or(|| DEFAULT.eps.into()),
            WEIGHT_DECAY.or(|| DEFAULT.weight_decay.into()),
            WEIGHT_DECAY_1D.or(|| DEFAULT.weight_decay_1d.into()),
        ],
        Build::Any(|s| {
            Ok(AnyRule::new(Adam {
                betas: BETAS.pair_in(s)?,
                eps: OPT_EPS.number_in(s)?,
                weight_decay: WEIGHT_DECAY.number_in(s)?,
                weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
            }))
        }),
    )
};

/// Adam's rate of adaptation, the best or next to it in all settings of studies/adapt-digits.toml and adapt-fashion-mlp.toml
/// (docs/results.md).
pub(super) const ADAPTATION_LR: f64 = 0.026;

/// Settings of Adam, PyTorch's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Decays of the averages of g and g², each in [0, 1).
    pub betas: (f64, f64),
    /// Guards the division, greater than 0.
    pub eps: f64,
    /// L2 on weights, inside the averages, at least 0.
    pub weight_decay: f64,
    /// L2 on 1-D parameters, at least 0.
    pub weight_decay_1d: f64,
}

const DEFAULT: Adam = Adam { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, weight_decay_1d: 0.0 };

impl Default for Adam {
    fn default() -> Self {
        DEFAULT
    }
}

impl Rule for Adam {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        BETAS.check(self.betas)?;
        OPT_EPS.check(self.eps)?;
        WEIGHT_DECAY.check(self.weight_decay)?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        Ok(by_decay(specs, members, (self.weight_decay, self.weight_decay_1d), |weight_decay| {
            vec![
                Box::new(AddDecayedWeights { weight_decay }),
                Box::new(ScaleByAdam::new(self.betas, self.eps)),
            ]
        }))
    }
}
