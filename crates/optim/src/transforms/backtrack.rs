//! Backtracking: a step is halved while it raises the loss of its own batch (Armijo 1966, with no decrease demanded).
//!
//! Where curvature is small, the estimate from one batch can be far off, and a Newton step then overshoots. The loss at the new point costs a
//! forward pass.

use crate::curvature::{Answer, Curvature, Directions, EvalError};
use crate::group::map_in_place;
use crate::transform::{Transform, UpdateContext};
use sph_tensor::{Array, Element, kernels::map};

/// Halves a step while it raises the loss of its own batch. It comes last, over all members of an optimizer
/// ([`crate::Optimizer::followed_by`]), so that it has whole steps.
#[derive(Debug)]
pub struct Backtrack {
    /// How often a step is halved at most, at least 1. What is left after that is taken, whatever its loss.
    pub halvings: u32,
}

impl<T: Element> Transform<T> for Backtrack {
    fn name(&self) -> &'static str {
        "backtrack"
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        let mut part = 1.0;
        for _ in 0..self.halvings {
            let mut step = Directions::default();
            for &i in cx.members {
                let Some(update) = &updates[i] else { continue };
                let scale = T::from_f64(-cx.lr * cx.overrides[i].lr_mult * part);
                if !map::finite_times(update.as_slice(), scale) {
                    // An overflow that the caller will see in the update.
                    return Ok(());
                }
                let mut moved = Array::stale(update.pool(), update.shape().prepend(1));
                map::unary(moved.make_mut(), update.as_slice(), |u| scale * u);
                step.insert(i, moved);
            }
            // A loss that is not a number counts as a rise.
            if f.loss_at(&step)? <= answer.loss {
                break;
            }
            part *= 0.5;
        }
        if part < 1.0 {
            let part = T::from_f64(part);
            for &i in cx.members {
                if let Some(update) = &mut updates[i] {
                    map_in_place(update, |u| part * u);
                }
            }
        }
        Ok(())
    }
}
