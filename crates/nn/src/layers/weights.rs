//! The weights of a convolution or linear layer: one tensor, or decoupled into magnitudes and directions.

use crate::{Builder, Forward, Init, LayerError, Role};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// What follows a layer with weights. It decides whether the layer has a bias and may be decoupled (docs/algorithm.md §1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// A norm: no bias, and the weights' scale does not matter.
    ByNorm,
    /// Anything else: a bias, and the weights are decoupled when asked for.
    ByOther {
        /// Magnitudes and directions instead of one tensor.
        decouple: bool,
    },
    /// A sum with a shortcut, then norms: no bias, since the norms remove it, but the scale of the weights matters.
    ByShortcut {
        /// Magnitudes and directions instead of one tensor.
        decouple: bool,
    },
}

impl Followed {
    fn decoupled(self) -> bool {
        matches!(self, Followed::ByOther { decouple: true } | Followed::ByShortcut { decouple: true })
    }
}

/// `X.weight`, or `X.weight_v` (directions) and `X.weight_g` (magnitudes, PyTorch's shape [out, 1, …]).
#[derive(Debug)]
pub(super) enum Weights {
    Plain(usize),
    Decoupled { v: usize, gamma: usize },
}

impl Weights {
    pub(super) fn new(b: &mut Builder, layer: &str, shape: &[usize], init: Init, followed: Followed) -> Self {
        if !followed.decoupled() {
            return Weights::Plain(b.param(format!("{layer}.weight"), shape, Role::Weight, init));
        }
        let v = b.param(format!("{layer}.weight_v"), shape, Role::Direction, init);
        let magnitudes: Vec<usize> = (0..shape.len()).map(|i| if i == 0 { shape[0] } else { 1 }).collect();
        // γ = ‖V‖, so that W starts as V.
        let gamma =
            b.param(format!("{layer}.weight_g"), &magnitudes, Role::Magnitude, Init::RowNorms { of: v });
        Weights::Decoupled { v, gamma }
    }

    /// `X.bias` of the layer with these weights, when it has one.
    pub(super) fn bias(
        &self,
        b: &mut Builder,
        layer: &str,
        out: usize,
        init: Init,
        followed: Followed,
    ) -> Option<usize> {
        let Followed::ByOther { .. } = followed else { return None };
        let bias = b.param(format!("{layer}.bias"), &[out], Role::Bias, init);
        match *self {
            Weights::Plain(weight) => b.join(weight, bias),
            Weights::Decoupled { .. } => b.mark_decoupled(bias),
        }
        Some(bias)
    }

    /// All parameters.
    pub(super) fn params(&self) -> Vec<usize> {
        match *self {
            Weights::Plain(w) => vec![w],
            Weights::Decoupled { v, gamma } => vec![v, gamma],
        }
    }

    /// The weights W.
    pub(super) fn forward<T: Element>(
        &self,
        f: &mut Forward<'_, T>,
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        match *self {
            Weights::Plain(w) => Ok(f.param(w).clone()),
            Weights::Decoupled { v, gamma } => f.apply(ops::weight_norm(), &[], &[v, gamma], layer),
        }
    }
}
