//! SGD with momentum, PyTorch's form: g ← g + λθ; m ← μm + g; θ ← θ − lr·m.

use crate::group::Group;
use crate::row::{Build, Row};
use crate::rule::by_decay;
use crate::settings::{Kind, LR, MOMENTUM, Setting, Settings, WEIGHT_DECAY, WEIGHT_DECAY_1D};
use crate::transform::Transform;
use crate::transforms::{AddDecayedWeights, Momentum};
use crate::{AnyRule, Rule, SettingsError};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

const NESTEROV: Setting = Setting {
    name: "nesterov",
    about: "Nesterov momentum",
    kind: Kind::Switch,
    default: Some(|| false.into()),
};

pub(super) const ROW: Row = Row {
    defaults: |cx, _| Settings::default().with(LR.name, cx.lr(cx.sgd_lr(0.1), 0.45)),
    ..Row::new(
        "sgd",
        "SGD with momentum",
        &[
            LR.or(|| 0.1.into()),
            MOMENTUM.or(|| DEFAULT.momentum.into()),
            NESTEROV,
            WEIGHT_DECAY.or(|| DEFAULT.weight_decay.into()),
            WEIGHT_DECAY_1D.or(|| DEFAULT.weight_decay_1d.into()),
        ],
        Build::Any(|s| {
            Ok(AnyRule::new(Sgd {
                momentum: MOMENTUM.number_in(s)?,
                nesterov: s.switch(NESTEROV.name),
                weight_decay: WEIGHT_DECAY.number_in(s)?,
                weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
            }))
        }),
    )
};

/// Settings of SGD.
///
/// ```
/// use sph_optim::presets::Sgd;
/// let sgd = Sgd { nesterov: true, ..Sgd::default() };
/// assert_eq!(sgd.momentum, 0.9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    /// μ in [0, 1).
    pub momentum: f64,
    /// Look ahead: direction g + μm.
    pub nesterov: bool,
    /// L2 on weights, at least 0.
    pub weight_decay: f64,
    /// L2 on 1-D parameters, at least 0.
    pub weight_decay_1d: f64,
}

const DEFAULT: Sgd = Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4, weight_decay_1d: 0.0 };

impl Default for Sgd {
    fn default() -> Self {
        DEFAULT
    }
}

impl Sgd {
    /// L2, then momentum.
    fn chain<T: Element>(&self, weight_decay: f64) -> Vec<Box<dyn Transform<T>>> {
        vec![
            Box::new(AddDecayedWeights { weight_decay }),
            Box::new(Momentum::new(self.momentum, self.nesterov)),
        ]
    }
}

impl Rule for Sgd {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        MOMENTUM.check(self.momentum)?;
        WEIGHT_DECAY.check(self.weight_decay)?;
        WEIGHT_DECAY_1D.check(self.weight_decay_1d)?;
        let decays = (self.weight_decay, self.weight_decay_1d);
        Ok(by_decay(specs, members, decays, |decay| self.chain(decay)))
    }
}
