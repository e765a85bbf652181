//! K-FAC (Martens and Grosse 2015): layers with weights are preconditioned by the Kronecker factors of the true Fisher, then everything
//! takes momentum SGD steps; norms take plain ones.

use super::sgd::Sgd;
use crate::group::Group;
use crate::row::{Build, Row};
use crate::rule::among;
use crate::settings::{LR, MOMENTUM, Range, Setting, Settings, WEIGHT_DECAY, WEIGHT_DECAY_1D};
use crate::transforms::{self, DrawLabels, KfacConfig, sampled};
use crate::{AnyRule, Rule, SettingsError};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

const DAMPING: Setting = Setting::number("damping", "Tikhonov damping λ", Range::Positive);
const FACTOR_DECAY: Setting =
    Setting::number("factor-decay", "Decay of the averages of Kronecker factors", Range::BelowOne);
const FACTOR_EVERY: Setting =
    Setting::count("factor-every", "Steps between measurements of Kronecker factors");
const INVERSE_EVERY: Setting =
    Setting::count("inverse-every", "Steps between inversions of Kronecker factors");

pub(super) const ROW: Row = Row {
    // It is about weights, which adaptation leaves alone.
    adapts: false,
    ..Row::new(
        "kfac",
        "K-FAC: Kronecker factors of the true Fisher on layers with weights",
        &[
            LR.or(|| 0.01.into()),
            MOMENTUM.or(|| DEFAULT.momentum.into()),
            DAMPING.or(|| DEFAULT.damping.into()),
            FACTOR_DECAY.or(|| DEFAULT.factor_decay.into()),
            FACTOR_EVERY.or(|| DEFAULT.factor_every.into()),
            INVERSE_EVERY.or(|| DEFAULT.inverse_every.into()),
            WEIGHT_DECAY.or(|| DEFAULT.weight_decay.into()),
            WEIGHT_DECAY_1D.or(|| DEFAULT.weight_decay_1d.into()),
        ],
        Build::Any(rule),
    )
};

fn rule(s: &Settings) -> Result<AnyRule, SettingsError> {
    Ok(AnyRule::new(Kfac {
        momentum: MOMENTUM.number_in(s)?,
        weight_decay: WEIGHT_DECAY.number_in(s)?,
        weight_decay_1d: WEIGHT_DECAY_1D.number_in(s)?,
        damping: DAMPING.number_in(s)?,
        factor_decay: FACTOR_DECAY.number_in(s)?,
        factor_every: FACTOR_EVERY.count_in(s)?,
        inverse_every: INVERSE_EVERY.count_in(s)?,
        seed: s.seed,
        labels: None,
    }))
}

/// Settings of K-FAC.
#[derive(Debug, Clone)]
pub struct Kfac {
    /// μ in [0, 1).
    pub momentum: f64,
    /// Decay on weights, added to the preconditioned gradient, at least 0.
    pub weight_decay: f64,
    /// Decay on 1-D parameters, at least 0.
    pub weight_decay_1d: f64,
    /// λ > 0, Tikhonov damping.
    pub damping: f64,
    /// Decay of the factors' averages, in [0, 1).
    pub factor_decay: f64,
    /// Steps between measurements of the factors, at least 1.
    pub factor_every: u64,
    /// Steps between inversions, at least 1.
    pub inverse_every: u64,
    /// Seed of the sampled labels.
    pub seed: u64,
    /// Labels of your own, in the place of [`sampled`] ones.
    pub labels: Option<DrawLabels>,
}

const DEFAULT: Kfac = Kfac {
    momentum: 0.9,
    weight_decay: 5e-4,
    weight_decay_1d: 0.0,
    damping: 0.03,
    factor_decay: 0.95,
    factor_every: 10,
    inverse_every: 10,
    seed: 0,
    labels: None,
};

impl Default for Kfac {
    fn default() -> Self {
        DEFAULT
    }
}

impl Rule for Kfac {
    fn groups<T: Element>(
        &self,
        specs: &[ParamSpec],
        members: &[usize],
    ) -> Result<Vec<Group<T>>, SettingsError> {
        DAMPING.check(self.damping)?;
        FACTOR_DECAY.check(self.factor_decay)?;
        FACTOR_EVERY.check(self.factor_every)?;
        INVERSE_EVERY.check(self.inverse_every)?;
        let config = KfacConfig {
            damping: self.damping,
            decay: self.factor_decay,
            factor_every: self.factor_every,
            inverse_every: self.inverse_every,
            labels: self.labels.clone().unwrap_or_else(|| sampled(self.seed)),
        };
        let layers = among(specs, members, transforms::Kfac::<T>::takes);
        let precondition = Box::new(transforms::Kfac::new(config, specs, &layers)) as _;
        // One group preconditions weights and biases together; what follows is SGD for all, each with its own decay.
        let mut groups = vec![Group { name: "layers", members: layers, chain: vec![precondition] }];
        let Kfac { momentum, weight_decay, weight_decay_1d, .. } = *self;
        let sgd = Sgd { momentum, nesterov: false, weight_decay, weight_decay_1d };
        groups.extend(sgd.groups(specs, members)?);
        Ok(groups)
    }
}
