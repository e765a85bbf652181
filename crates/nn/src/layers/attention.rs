//! Multi-head self-attention (Vaswani et al. 2017).

use super::{Dropout, Linear};
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Module};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.qkv` (dim to queries, keys and values) and `X.proj`, timm's names and layout, on tokens [N, T, dim].
///
/// The keys' bias adds the same number to all scores of a query, which does not change their softmax. Its curvature is zero, so the whole
/// `X.qkv.bias` stays first-order.
#[derive(Debug)]
pub struct Attention {
    layer: String,
    heads: usize,
    qkv: Linear,
    proj: Linear,
    dropout: Dropout,
}

impl Attention {
    /// A layer named `layer`; `heads` divides `dim`.
    pub fn new(b: &mut Builder, config: &ModelConfig, layer: &str, dim: usize, heads: usize) -> Self {
        let mut linear =
            |part: &str, out| Linear::transformer(b, &format!("{layer}.{part}"), (dim, out), config.decouple);
        let (qkv, proj) = (linear("qkv", 3 * dim), linear("proj", dim));
        qkv.bias().into_iter().for_each(|bias| b.mark_flat(bias));
        let dropout = Dropout::new(b, layer, config.dropout);
        Attention { layer: layer.to_string(), heads, qkv, proj, dropout }
    }
}

impl<T: Element> Module<T> for Attention {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = self.qkv.forward(f, x)?;
        let y = f.apply(ops::attention(self.heads), &[&y], &[], &self.layer)?;
        let y = self.proj.forward(f, &y)?;
        self.dropout.forward(f, &y)
    }
}
