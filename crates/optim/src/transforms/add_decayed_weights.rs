//! Weight decay: update ← update + λθ.
//!
//! Before momentum this is L2 regularisation (PyTorch's SGD); at the end of a chain it is decoupled from
//! preconditioning (AdamW; Loshchilov and Hutter 2019).

use crate::curvature::{Answer, Curvature, EvalError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// Adds λθ to the update.
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
        for &i in cx.members {
            let decay = T::from_f64(cx.weight_decay(i, self.weight_decay));
            if let Some(update) = updates[i].as_mut().filter(|_| decay != T::ZERO) {
                map::update(update.make_mut(), cx.values[i].as_slice(), |u, v| u + decay * v);
            }
        }
        Ok(())
    }
}
