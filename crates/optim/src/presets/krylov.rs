//! Newton in a Krylov space: θ ← θ − lr·D with D the saddle-free Newton step of all second-order blocks together, as far as m products with
//! their joint Hessian tell (docs/algorithm.md §8); momentum SGD on the rest.

use super::{SettingsError, Sgd, SphDrs, select};
use crate::analysis::SaddleFreeSettings;
use crate::group::{Group, Optimizer};
use crate::transforms::{self, AddDecayedWeights};
use sph_autodiff::{ParamSpec, Selection};
use sph_tensor::Element;

/// Settings of Newton in a Krylov space.
///
/// ```
/// use sph_optim::presets::Krylov;
/// let krylov = Krylov { size: 20, ..Krylov::default() };
/// assert_eq!(krylov.trust_radius, Some(3.0));
/// ```
#[derive(Debug, Clone)]
pub struct Krylov {
    /// m ≥ 1: dimension of the space and products with the Hessian per step.
    pub size: usize,
    /// ε > 0: damping, added to absolute eigenvalues.
    pub eps: f64,
    /// The largest ‖D‖, greater than 0; `None` does not bound it.
    pub trust_radius: Option<f64>,
    /// Decay on 1-D parameters; on blocks it is applied beside D.
    pub weight_decay_1d: f64,
    /// μ in [0, 1) of the parameters that are not blocks.
    pub momentum: f64,
    /// L2 on weights.
    pub weight_decay: f64,
    /// The blocks, as in [`SphDrs::selection`].
    pub selection: Option<Selection>,
}

impl Default for Krylov {
    fn default() -> Self {
        Krylov {
            size: 10,
            eps: 0.1,
            trust_radius: Some(3.0),
            weight_decay_1d: 0.0,
            momentum: 0.9,
            weight_decay: 5e-4,
            selection: None,
        }
    }
}

impl Krylov {
    /// The second-order blocks that these settings choose.
    ///
    /// # Errors
    /// When a term of the selection chooses none, or there are none.
    pub fn chosen(&self, specs: &[ParamSpec]) -> Result<Vec<usize>, SettingsError> {
        SphDrs { selection: self.selection.clone(), ..SphDrs::default() }.chosen(specs)
    }

    /// The optimizer over `specs`.
    ///
    /// # Errors
    /// When there are no blocks, or a setting is out of range.
    pub fn build<T: Element>(&self, specs: &[ParamSpec]) -> Result<Optimizer<T>, SettingsError> {
        let blocks = self.chosen(specs)?;
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if self.size == 0 || !positive(self.eps) || self.trust_radius.is_some_and(|r| !positive(r)) {
            return Err(SettingsError("krylov: size, eps and trust radius must be greater than 0".into()));
        }
        let others = |f: &dyn Fn(&ParamSpec) -> bool| -> Vec<usize> {
            select(specs, f).into_iter().filter(|i| !blocks.contains(i)).collect()
        };
        let sgd = Sgd { momentum: self.momentum, ..Sgd::default() };
        let group = |name, members, decay| Group { name, members, chain: sgd.chain(decay) };
        let settings = SaddleFreeSettings { size: self.size, eps: self.eps, trust_radius: self.trust_radius };
        let (weights, rest) = (others(&|s| !s.is_1d()), others(&ParamSpec::is_1d));
        let newton = Group {
            name: "blocks",
            members: blocks,
            chain: vec![
                Box::new(transforms::Krylov { settings }),
                Box::new(AddDecayedWeights { weight_decay: self.weight_decay_1d }),
            ],
        };
        Ok(Optimizer::new(
            specs,
            vec![
                group("weights", weights, self.weight_decay),
                group("1d", rest, self.weight_decay_1d),
                newton,
            ],
        ))
    }
}
