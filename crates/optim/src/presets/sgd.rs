//! SGD with momentum, PyTorch's form: g ← g + λθ; m ← μm + g; θ ← θ − lr·m.

use super::select;
use crate::group::{Group, Optimizer};
use crate::transform::Transform;
use crate::transforms::{AddDecayedWeights, Momentum};
use sph_autodiff::ParamSpec;
use sph_tensor::Element;

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
    /// L2 on weights.
    pub weight_decay: f64,
    /// L2 on 1-D parameters.
    pub weight_decay_1d: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4, weight_decay_1d: 0.0 }
    }
}

impl Sgd {
    /// L2, then momentum.
    pub(super) fn chain<T: Element>(&self, weight_decay: f64) -> Vec<Box<dyn Transform<T>>> {
        vec![
            Box::new(AddDecayedWeights { weight_decay }),
            Box::new(Momentum::new(self.momentum, self.nesterov)),
        ]
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
