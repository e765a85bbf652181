//! Sweeps over a tape.
//!
//! | sweep | what | where |
//! |---|---|---|
//! | gradient, with H·v when leaves carry probes | [`crate::Tape::backward`] | `grad.rs` |
//! | J·v after a recording | [`jvp()`] | `jvp.rs` |
//! | H·v after a gradient, for any leaves | [`hvp()`] | `hvp.rs` |
//!
//! A block hvp is an hvp whose tangents and wanted rows are one leaf: what does not depend on that leaf has no
//! tangent and is not visited.

pub mod grad;
mod hvp;
mod jvp;

pub use hvp::hvp;
pub use jvp::jvp;

use sph_tensor::{Array, Element};

/// Adds an adjoint to what other consumers contributed.
pub(crate) fn accumulate<T: Element>(sum: &mut Option<Array<T>>, term: Array<T>) {
    match sum {
        Some(sum) => sum.accumulate(&term),
        None => *sum = Some(term),
    }
}
