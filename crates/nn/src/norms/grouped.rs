//! The layer of all norms but BatchNorm: an op with a scale and, unless it is RMSNorm, a shift per channel.

use crate::{Builder, Forward, Init, LayerError, Module, Role};
use sph_autodiff::{Op, Var};
use sph_tensor::Element;

/// PyTorch's default, added to the variance.
pub(super) const EPS: f64 = 1e-5;
/// What transformers use, timm's among them.
pub(super) const TOKEN_EPS: f64 = 1e-6;

/// `X.weight` (γ = 1) and, when centered, `X.bias` (β = 0); the same in training and evaluation.
pub(super) struct Grouped<F> {
    layer: String,
    params: Vec<usize>,
    op: F,
}

impl<F: Send + Sync> Grouped<F> {
    /// A layer that applies `op`.
    pub(super) fn new(b: &mut Builder, layer: &str, channels: usize, shift: bool, op: F) -> Self {
        let mut params =
            vec![b.param(format!("{layer}.weight"), &[channels], Role::NormScale, Init::Constant(1.0))];
        if shift {
            params.push(b.param(format!("{layer}.bias"), &[channels], Role::NormShift, Init::Constant(0.0)));
        }
        Grouped { layer: layer.to_string(), params, op }
    }
}

impl<T: Element, O: Op<T> + 'static, F: Fn() -> O + Send + Sync> Module<T> for Grouped<F> {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        f.apply((self.op)(), &[x], &self.params, &self.layer)
    }
}
