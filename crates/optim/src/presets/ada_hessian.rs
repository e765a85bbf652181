//! AdaHessian (Yao et al. 2021): θ ← θ − lr (m̂/(v̂^{k/2} + ε) + λθ), v̂ the average of squared Hessian diagonals estimated by
//! Hutchinson's probes over all parameters.

use super::select;
use crate::group::{Group, Optimizer};
use crate::transforms::{AdaHessianConfig, AddDecayedWeights, DrawProbe, ScaleByAdaHessian, random_signs};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

/// Settings of AdaHessian, its authors' defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaHessian {
    /// Decays of the averages of g and h².
    pub betas: (f64, f64),
    /// Guards the division.
    pub eps: f64,
    /// k in (0, 1]: 1 divides by the root mean square of the diagonal, less is closer to SGD.
    pub power: f64,
    /// Probes at each `every`-th step only.
    pub every: u64,
    /// Decoupled decay on weights.
    pub weight_decay: f64,
    /// Decoupled decay on 1-D parameters.
    pub weight_decay_1d: f64,
    /// Seed of the probes.
    pub seed: u64,
}

impl Default for AdaHessian {
    fn default() -> Self {
        AdaHessian {
            betas: (0.9, 0.999),
            eps: 1e-4,
            power: 1.0,
            every: 1,
            weight_decay: 5e-4,
            weight_decay_1d: 0.0,
            seed: 0,
        }
    }
}

impl AdaHessian {
    /// The optimizer over `specs`.
    pub fn build<T: Element>(&self, specs: &[ParamSpec]) -> Optimizer<T> {
        self.build_with(specs, random_signs(self.seed))
    }

    /// The optimizer with probes of your own.
    pub fn build_with<T: Element>(&self, specs: &[ParamSpec], draw: DrawProbe) -> Optimizer<T> {
        let AdaHessian { betas, eps, power, every, .. } = *self;
        // One group scales, so that one product serves all; the decays follow, each in its own.
        let scale = ScaleByAdaHessian::new(AdaHessianConfig { betas, eps, power, every, draw });
        let decay = |name, members, weight_decay| Group {
            name,
            members,
            chain: vec![Box::new(AddDecayedWeights { weight_decay }) as _],
        };
        Optimizer::new(
            specs,
            vec![
                Group { name: "all", members: select(specs, |_| true), chain: vec![Box::new(scale)] },
                decay("weights", select(specs, |s| !s.is_1d()), self.weight_decay),
                decay("1d", select(specs, ParamSpec::is_1d), self.weight_decay_1d),
            ],
        )
    }
}
