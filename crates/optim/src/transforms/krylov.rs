//! The saddle-free Newton step in the Krylov space of the joint Hessian of all members (docs/algorithm.md §8).

use crate::analysis::{AnalysisError, Hessian, SaddleFreeSettings, saddle_free_newton};
use crate::curvature::{Answer, Curvature, EvalError, Request};
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element};

/// The saddle-free Newton step; it keeps no state.
#[derive(Debug)]
pub struct Krylov {
    /// Dimension of the space, damping, bound.
    pub settings: SaddleFreeSettings,
}

impl<T: Element> Transform<T> for Krylov {
    fn name(&self) -> &'static str {
        "krylov"
    }

    fn request(&mut self, _cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        want.keep = true;
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        let mut hessian = Hessian::evaluated(f, cx.members, answer.loss, updates);
        let gradient = hessian.gradient().to_vec();
        let step = saddle_free_newton(&mut hessian, &gradient, &self.settings).map_err(|e| match e {
            AnalysisError::Evaluation(e) => e,
            AnalysisError::NonFinite => EvalError::NonFiniteProduct,
            e => EvalError::Other(Box::new(e)),
        })?;
        let mut rest = &step.direction[..];
        for &i in cx.members {
            let (part, after) = rest.split_at(cx.specs[i].len());
            rest = after;
            // Without a gradient there is a step all the same: the others' curvature couples to it.
            let update =
                updates[i].get_or_insert_with(|| Array::zeros(cx.values[i].pool(), cx.values[i].shape()));
            update.make_mut().iter_mut().zip(part).for_each(|(u, d)| *u = T::from_f64(*d));
        }
        Ok(())
    }
}
