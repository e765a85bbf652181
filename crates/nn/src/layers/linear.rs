//! Linear layer.

use super::weights::{Followed, Weights};
use crate::{Builder, Forward, Init, LayerError, Module};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.weight` (out×in) and, unless a norm follows, `X.bias` (out); uniform in ±1/√in, PyTorch's default.
#[derive(Debug)]
pub struct Linear {
    layer: String,
    weights: Weights,
    bias: Option<usize>,
}

impl Linear {
    /// A layer named `layer`.
    pub fn new(b: &mut Builder, layer: &str, (input, out): (usize, usize), followed: Followed) -> Self {
        let init = Init::Uniform(1.0 / (input as f64).sqrt());
        let weights = Weights::new(b, layer, &[out, input], init, followed);
        let bias = Weights::bias(b, layer, out, init, followed);
        Linear { layer: layer.to_string(), weights, bias }
    }

    /// The classifier: nothing follows, so it is decoupled when asked for.
    pub fn head(b: &mut Builder, layer: &str, sizes: (usize, usize), decouple: bool) -> Self {
        let linear = Self::new(b, layer, sizes, Followed::ByOther { decouple });
        linear.weights.params().into_iter().chain(linear.bias).for_each(|p| b.mark_head(p));
        linear
    }
}

impl<T: Element> Module<T> for Linear {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let w = self.weights.forward(f, &self.layer)?;
        let y = f.apply(ops::linear(), &[x, &w], &[], &self.layer)?;
        match self.bias {
            Some(bias) => f.apply(ops::bias(), &[&y], &[bias], &self.layer),
            None => Ok(y),
        }
    }
}
