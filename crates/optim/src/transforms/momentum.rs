//! Momentum as in PyTorch's SGD: m ← μm + g (no 1−μ), direction m, or g + μm with Nesterov.

use super::{PerParam, load_arrays, save_arrays};
use crate::curvature::{Answer, Curvature, EvalError};
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// See the module.
#[derive(Debug)]
pub struct Momentum<T: Element> {
    decay: f64,
    nesterov: bool,
    m: PerParam<T>,
}

impl<T: Element> Momentum<T> {
    /// Momentum with decay μ in [0, 1).
    pub fn new(decay: f64, nesterov: bool) -> Self {
        Momentum { decay, nesterov, m: Vec::new() }
    }
}

impl<T: Element> Transform<T> for Momentum<T> {
    fn name(&self) -> &'static str {
        "momentum"
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        _f: &mut dyn Curvature<T>,
        _answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        self.m.resize(cx.specs.len(), None);
        for &i in cx.members {
            let decay = T::from_f64(cx.momentum(i, self.decay));
            // Without momentum there is none to keep.
            let Some(g) = updates[i].as_mut().filter(|_| decay != T::ZERO) else { continue };
            match &mut self.m[i] {
                Some(m) => map::update(m.make_mut(), g.as_slice(), |m, g| decay * m + g),
                m => *m = Some(Array::from_slice(g.pool(), g.shape(), g.as_slice())),
            }
            match &self.m[i] {
                Some(m) if self.nesterov => map::update(g.make_mut(), m.as_slice(), |g, m| g + decay * m),
                // Shared, not copied.
                m => updates[i] = m.clone(),
            }
        }
        Ok(())
    }

    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        save_arrays(cx, prefix, &self.m, to);
    }

    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        let keeps = |i: &usize| cx.momentum(*i, self.decay) != 0.0;
        let members: Vec<usize> = cx.members.iter().copied().filter(keeps).collect();
        load_arrays(&UpdateContext { members: &members, ..*cx }, prefix, &mut self.m, from)
    }
}
