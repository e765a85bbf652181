//! AdamW (Loshchilov and Hutter 2019): θ ← θ − lr (m̂/(√v̂ + ε) + λθ).

use super::select;
use crate::group::{Group, Optimizer};
use crate::transform::Transform;
use crate::transforms::{AddDecayedWeights, ScaleByAdam};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

/// Settings of AdamW, PyTorch's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// Decays of the averages of g and g².
    pub betas: (f64, f64),
    /// Guards the division.
    pub eps: f64,
    /// Decoupled decay on weights.
    pub weight_decay: f64,
    /// Decoupled decay on 1-D parameters.
    pub weight_decay_1d: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.05, weight_decay_1d: 0.0 }
    }
}

impl AdamW {
    /// Adam's direction, then decay.
    pub(super) fn chain<T: Element>(&self, weight_decay: f64) -> Vec<Box<dyn Transform<T>>> {
        vec![Box::new(ScaleByAdam::new(self.betas, self.eps)), Box::new(AddDecayedWeights { weight_decay })]
    }

    /// The optimizer over `specs`.
    pub fn build<T: Element>(&self, specs: &[ParamSpec]) -> Optimizer<T> {
        let group = |name, members, decay| Group { name, members, chain: self.chain(decay) };
        Optimizer::new(
            specs,
            vec![
                group("weights", select(specs, |s| !s.is_1d()), self.weight_decay),
                group("1d", select(specs, ParamSpec::is_1d), self.weight_decay_1d),
            ],
        )
    }
}
