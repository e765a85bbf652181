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
        Self::with_init(b, layer, (input, out), followed, init.clone(), init)
    }

    /// A layer of a transformer: weights normal with standard deviation 0.02, bias 0.
    pub fn transformer(b: &mut Builder, layer: &str, sizes: (usize, usize), decouple: bool) -> Self {
        Self::with_init(
            b,
            layer,
            sizes,
            Followed::ByOther { decouple },
            Init::Normal(0.02),
            Init::Constant(0.0),
        )
    }

    fn with_init(
        b: &mut Builder,
        layer: &str,
        (input, out): (usize, usize),
        followed: Followed,
        init: Init,
        bias: Init,
    ) -> Self {
        let weights = Weights::new(b, layer, &[out, input], init, followed);
        let bias = weights.bias(b, layer, out, bias, followed);
        Linear { layer: layer.to_string(), weights, bias }
    }

    /// The bias, when there is one, as a parameter number.
    pub(crate) fn bias(&self) -> Option<usize> {
        self.bias
    }

    /// The classifier: nothing follows, so it is decoupled when asked for.
    pub fn head(b: &mut Builder, layer: &str, sizes: (usize, usize), decouple: bool) -> Self {
        Self::new(b, layer, sizes, Followed::ByOther { decouple }).into_head(b)
    }

    /// This layer as the classifier.
    pub(crate) fn into_head(self, b: &mut Builder) -> Self {
        self.weights.params().into_iter().chain(self.bias).for_each(|p| b.mark_head(p));
        self
    }
}

impl<T: Element> Module<T> for Linear {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let w = self.weights.forward(f, &self.layer)?;
        f.apply(ops::linear(), &[x, &w], self.bias.as_slice(), &self.layer)
    }
}
