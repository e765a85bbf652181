//! The feed-forward part of transformers and mixers: linear, GELU, linear.

use super::{Dropout, Linear};
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Module};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.fc1` (size to hidden), GELU, `X.fc2` (hidden to size), with dropout behind each.
#[derive(Debug)]
pub struct FeedForward {
    layer: String,
    first: Linear,
    second: Linear,
    dropouts: [Dropout; 2],
}

impl FeedForward {
    /// Layers named `layer.fc1` and `layer.fc2` on the last axis.
    pub fn new(b: &mut Builder, config: &ModelConfig, layer: &str, size: usize, hidden: usize) -> Self {
        let mut linear =
            |part: &str, sizes| Linear::transformer(b, &format!("{layer}.{part}"), sizes, config.decouple);
        let (first, second) = (linear("fc1", (size, hidden)), linear("fc2", (hidden, size)));
        let dropouts = [0, 1].map(|_| Dropout::new(b, layer, config.dropout));
        FeedForward { layer: layer.to_string(), first, second, dropouts }
    }

    /// The bias of the second layer, as a parameter number.
    pub(crate) fn bias(&self) -> Option<usize> {
        self.second.bias()
    }
}

impl<T: Element> Module<T> for FeedForward {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = self.first.forward(f, x)?;
        let y = f.apply(ops::gelu(), &[&y], &[], &self.layer)?;
        let y = self.dropouts[0].forward(f, &y)?;
        let y = self.second.forward(f, &y)?;
        self.dropouts[1].forward(f, &y)
    }
}
