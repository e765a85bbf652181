//! Momentum as in PyTorch's SGD: m ← μm + g (no 1−μ), direction m, or g + μm with Nesterov.

use super::{PerParam, load_arrays, replace, save_arrays};
use crate::curvature::{Answer, Curvature, EvalError};
use crate::state::{StateDict, StateError};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// Momentum, plain or Nesterov's.
#[derive(Debug)]
pub struct Momentum<T: Element> {
    decay: f64,
    nesterov: bool,
    m: PerParam<T>,
    /// m after the step at hand, for the members that move.
    next: PerParam<T>,
}

impl<T: Element> Momentum<T> {
    /// Momentum with decay μ in [0, 1).
    pub fn new(decay: f64, nesterov: bool) -> Self {
        Momentum { decay, nesterov, m: Vec::new(), next: Vec::new() }
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
        self.next = vec![None; cx.specs.len()];
        for &i in cx.members {
            let decay = T::from_f64(cx.momentum(i, self.decay));
            // Without momentum there is none to keep.
            let Some(g) = updates[i].as_mut().filter(|_| decay != T::ZERO) else { continue };
            if self.nesterov {
                let mut m = Array::stale(g.pool(), g.shape());
                match &self.m[i] {
                    Some(old) => {
                        map::binary(m.make_mut(), old.as_slice(), g.as_slice(), |m, g| decay * m + g)
                    }
                    None => m.make_mut().copy_from_slice(g.as_slice()),
                }
                map::update(g.make_mut(), m.as_slice(), |g, m| g + decay * m);
                self.next[i] = Some(m);
            } else {
                // In the gradient's buffer; shared, not copied.
                if let Some(old) = &self.m[i] {
                    map::update(g.make_mut(), old.as_slice(), |g, m| decay * m + g);
                }
                self.next[i] = Some(g.clone());
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        replace(&mut self.m, &mut self.next);
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
