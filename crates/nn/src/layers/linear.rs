//! Linear layer.

use crate::{Builder, Forward, Init, LayerError, Module, Role};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.weight` (out×in) and, when asked for, `X.bias` (out); uniform in ±1/√in, PyTorch's default.
#[derive(Debug)]
pub struct Linear {
    layer: String,
    weight: usize,
    bias: Option<usize>,
}

impl Linear {
    /// A layer named `layer` with `bias` or without.
    pub fn new(b: &mut Builder, layer: &str, (input, out): (usize, usize), bias: bool) -> Self {
        let init = Init::Uniform(1.0 / (input as f64).sqrt());
        let weight = b.param(format!("{layer}.weight"), &[out, input], Role::Weight, init);
        let bias = bias.then(|| b.param(format!("{layer}.bias"), &[out], Role::Bias, init));
        Linear { layer: layer.to_string(), weight, bias }
    }

    /// A layer with bias, marked as the classifier.
    pub fn head(b: &mut Builder, layer: &str, sizes: (usize, usize)) -> Self {
        let linear = Self::new(b, layer, sizes, true);
        linear.bias.into_iter().chain([linear.weight]).for_each(|p| b.mark_head(p));
        linear
    }
}

impl<T: Element> Module<T> for Linear {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = f.apply(ops::linear(), &[x], &[self.weight], &self.layer)?;
        match self.bias {
            Some(bias) => f.apply(ops::bias(), &[&y], &[bias], &self.layer),
            None => Ok(y),
        }
    }
}
