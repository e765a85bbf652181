//! Dropout in training; nothing in evaluation.

use crate::{Builder, Forward, LayerError, Mode, Module};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// Zeroes elements with probability p while training. The mask is drawn by (seed, layer, batch), so every pass over a batch
/// sees the same one.
#[derive(Debug)]
pub struct Dropout {
    layer: String,
    p: f64,
    source: u64,
}

impl Dropout {
    /// A layer named `layer` in messages, with `p` in [0, 1).
    pub fn new(b: &mut Builder, layer: &str, p: f64) -> Self {
        Dropout { layer: layer.to_string(), p, source: b.dropout() }
    }
}

impl<T: Element> Module<T> for Dropout {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        if self.p == 0.0 || f.mode() == Mode::Eval {
            return Ok(x.clone());
        }
        let rng = f.rng(self.source);
        f.apply(ops::dropout(self.p, rng), &[x], &[], &self.layer)
    }
}
