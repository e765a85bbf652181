//! Gradient clipping, PyTorch's two: by the norm over all members, g ← g · min(1, c/(‖g‖ + 10⁻⁶)); or entry by entry into ±c.
//!
//! The gradient is clipped before momentum and all else. Curvature is not clipped, nor is the step that it scales: damping and the largest
//! multiplier bound a second-order step.

use crate::curvature::{Answer, Curvature, EvalError};
use crate::group::map_in_place;
use crate::transform::{Transform, UpdateContext};
use sph_tensor::kernels::reduce::channel_sums;
use sph_tensor::{Array, Element};

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipMode {
    /// The Euclidean norm over all members.
    Norm,
    /// The absolute value of every entry.
    Value,
}

/// The modes by the names users give, and what they do.
pub const CLIP_MODES: &[(&str, ClipMode, &str)] = &[
    ("norm", ClipMode::Norm, "the norm of the whole gradient"),
    ("value", ClipMode::Value, "the absolute value of every entry"),
];

/// Bounds the gradient, by its norm or entry by entry.
#[derive(Debug)]
pub struct ClipGradient {
    /// What is bounded.
    pub mode: ClipMode,
    /// c > 0.
    pub limit: f64,
}

impl<T: Element> Transform<T> for ClipGradient {
    fn name(&self) -> &'static str {
        "clip_gradient"
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        _f: &mut dyn Curvature<T>,
        _answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        let factor = match self.mode {
            ClipMode::Value => 1.0,
            ClipMode::Norm => {
                let squares = |&i: &usize| updates[i].as_ref().map_or(0.0, |g| sum_of_squares(g.as_slice()));
                let norm = cx.members.iter().map(squares).sum::<f64>().sqrt();
                self.limit / (norm + 1e-6)
            }
        };
        let (factor, limit) = (T::from_f64(factor), T::from_f64(self.limit));
        for &i in cx.members {
            let Some(g) = &mut updates[i] else { continue };
            match self.mode {
                ClipMode::Norm if factor < T::ONE => map_in_place(g, |g| factor * g),
                // A NaN passes every bound.
                ClipMode::Norm => {}
                ClipMode::Value => {
                    let bound = |g: T| if g > limit { limit } else { g };
                    map_in_place(g, |g| if g < -limit { -limit } else { bound(g) });
                }
            }
        }
        Ok(())
    }
}

fn sum_of_squares<T: Element>(g: &[T]) -> f64 {
    let [sums] = channel_sums([g], [], 1, |[g], []| [g * g]);
    sums[0]
}
