//! Weight decay: update ← update + λθ.
//!
//! Before momentum this is L2 regularisation (PyTorch's SGD); at the end of a chain it is decoupled from
//! preconditioning (AdamW; Loshchilov and Hutter 2019).

use crate::curvature::{Answer, Curvature, EvalError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// See the module.
#[derive(Debug)]
pub struct AddDecayedWeights {
    /// λ ≥ 0.
    pub weight_decay: f64,
}

impl<T: Element> Transform<T> for AddDecayedWeights {
    fn name(&self) -> &'static str {
        "weight_decay"
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        _f: &mut dyn Curvature<T>,
        _answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        if self.weight_decay == 0.0 {
            return Ok(());
        }
        let decay = T::from_f64(self.weight_decay);
        for &i in cx.members {
            if let Some(update) = &mut updates[i] {
                map::update(update.make_mut(), cx.values[i].as_slice(), |u, v| u + decay * v);
            }
        }
        Ok(())
    }
}
