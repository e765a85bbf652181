//! Adam (Kingma and Ba 2015), PyTorch's form: g ← g + λθ; θ ← θ − lr m̂/(√v̂ + ε).

use super::select;
use crate::group::{Group, Optimizer};
use crate::transforms::{AddDecayedWeights, ScaleByAdam};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

/// Settings of Adam, PyTorch's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Decays of the averages of g and g².
    pub betas: (f64, f64),
    /// Guards the division.
    pub eps: f64,
    /// L2 on weights, inside the averages.
    pub weight_decay: f64,
    /// L2 on 1-D parameters.
    pub weight_decay_1d: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, weight_decay_1d: 0.0 }
    }
}

impl Adam {
    /// The optimizer over `specs`.
    pub fn build<T: Element>(&self, specs: &[ParamSpec]) -> Optimizer<T> {
        let group = |name, members, weight_decay| Group {
            name,
            members,
            chain: vec![
                Box::new(AddDecayedWeights { weight_decay }),
                Box::new(ScaleByAdam::new(self.betas, self.eps)),
            ],
        };
        Optimizer::new(
            specs,
            vec![
                group("weights", select(specs, |s| !s.is_1d()), self.weight_decay),
                group("1d", select(specs, ParamSpec::is_1d), self.weight_decay_1d),
            ],
        )
    }
}
