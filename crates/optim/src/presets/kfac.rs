//! K-FAC (Martens and Grosse 2015): layers with weights are preconditioned by the Kronecker factors of the true Fisher, then everything
//! takes momentum SGD steps; norms take plain ones.

use super::{Sgd, select};
use crate::group::{Group, Optimizer};
use crate::transforms::{self, DrawLabels, KfacConfig, sampled};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

/// Settings of K-FAC.
#[derive(Debug, Clone, PartialEq)]
pub struct Kfac {
    /// μ in [0, 1).
    pub momentum: f64,
    /// Decay on weights, added to the preconditioned gradient.
    pub weight_decay: f64,
    /// Decay on 1-D parameters.
    pub weight_decay_1d: f64,
    /// λ > 0, Tikhonov damping.
    pub damping: f64,
    /// Decay of the factors' averages, in [0, 1).
    pub factor_decay: f64,
    /// Steps between measurements of the factors.
    pub factor_every: u64,
    /// Steps between inversions.
    pub inverse_every: u64,
    /// Seed of the sampled labels.
    pub seed: u64,
}

impl Default for Kfac {
    fn default() -> Self {
        Kfac {
            momentum: 0.9,
            weight_decay: 5e-4,
            weight_decay_1d: 0.0,
            damping: 0.03,
            factor_decay: 0.95,
            factor_every: 10,
            inverse_every: 10,
            seed: 0,
        }
    }
}

impl Kfac {
    /// The optimizer over `specs`.
    pub fn build<T: Element>(&self, specs: &[ParamSpec]) -> Optimizer<T> {
        self.build_with(specs, sampled(self.seed))
    }

    /// The optimizer with labels of your own.
    pub fn build_with<T: Element>(&self, specs: &[ParamSpec], labels: DrawLabels) -> Optimizer<T> {
        let config = KfacConfig {
            damping: self.damping,
            decay: self.factor_decay,
            factor_every: self.factor_every,
            inverse_every: self.inverse_every,
            labels,
        };
        let layers = select(specs, transforms::Kfac::<T>::takes);
        let precondition = Box::new(transforms::Kfac::new(config, specs, &layers));
        let sgd = Sgd { momentum: self.momentum, ..Sgd::default() };
        // One group preconditions weights and biases together; what follows is SGD for all, each with its own decay.
        let follow = |name, members, decay| Group { name, members, chain: sgd.chain(decay) };
        Optimizer::new(
            specs,
            vec![
                Group { name: "layers", members: layers, chain: vec![precondition] },
                follow("weights", select(specs, |s| !s.is_1d()), self.weight_decay),
                follow("1d", select(specs, ParamSpec::is_1d), self.weight_decay_1d),
            ],
        )
    }
}
