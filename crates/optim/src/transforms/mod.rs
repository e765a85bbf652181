//! The links of optimizers' chains, one file each.

mod add_decayed_weights;
mod backtrack;
mod clip_gradient;
mod drs;
mod kfac;
mod krylov;
mod momentum;
mod precondition;
mod scale_by_ada_hessian;
mod scale_by_adam;

pub use add_decayed_weights::AddDecayedWeights;
pub use backtrack::Backtrack;
pub use clip_gradient::{CLIP_MODES, ClipGradient, ClipMode};
pub use drs::{Drs, DrsConfig};
pub use kfac::{DrawLabels, Kfac, KfacConfig, sampled};
pub use krylov::Krylov;
pub use momentum::Momentum;
pub use precondition::{Precondition, PreconditionConfig};
pub use scale_by_ada_hessian::{AdaHessianConfig, DrawProbe, ScaleByAdaHessian, random_signs};
pub use scale_by_adam::ScaleByAdam;

use crate::state::{StateDict, StateError};
use crate::transform::UpdateContext;
use sph_tensor::{Array, Element};
use std::fmt;
use std::sync::Arc;

/// A function among settings: shared, and shown by what it is.
pub struct Draw<F: ?Sized>(pub Arc<F>);

impl<F: ?Sized> Clone for Draw<F> {
    fn clone(&self) -> Self {
        Draw(self.0.clone())
    }
}

impl<F: ?Sized> fmt::Debug for Draw<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<F>())
    }
}

/// One array of state for some members, by parameter number.
type PerParam<T> = Vec<Option<Array<T>>>;

/// Puts the arrays that there are of `next` in the place of those in `state`.
fn replace<T: Element>(state: &mut PerParam<T>, next: &mut PerParam<T>) {
    for (state, next) in state.iter_mut().zip(next.drain(..)) {
        if next.is_some() {
            *state = next;
        }
    }
}

fn save_arrays<T: Element>(
    cx: &UpdateContext<'_, T>,
    prefix: &str,
    arrays: &PerParam<T>,
    to: &mut StateDict<T>,
) {
    for (i, array) in arrays.iter().enumerate() {
        if let Some(array) = array {
            to.arrays.insert(format!("{prefix}.{}", cx.specs[i].name), array.clone());
        }
    }
}

fn load_arrays<T: Element>(
    cx: &UpdateContext<'_, T>,
    prefix: &str,
    arrays: &mut PerParam<T>,
    from: &mut StateDict<T>,
) -> Result<(), StateError> {
    arrays.resize(cx.specs.len(), None);
    for &i in cx.members {
        let name = format!("{prefix}.{}", cx.specs[i].name);
        arrays[i] = from.take_array(&name, &cx.values[i])?;
        if arrays[i].is_none() && cx.step > 0 {
            return Err(StateError::Missing(name));
        }
    }
    Ok(())
}
