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

/// A product after the gradient cannot be had, because the recording did not keep what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// The recording keeps nothing.
    #[error("a product after the gradient needs a recording that keeps what it reads (Tape::keeping)")]
    Tape,
    /// No backward sweep has run.
    #[error("a product after the gradient needs the gradient first (Tape::backward)")]
    Adjoints,
    /// The row with this number among those asked for is of a leaf whose gradient was not wanted.
    #[error("row {0} is of a leaf that was recorded without its gradient: nothing is known of its rows")]
    Row(usize),
}

/// Adds an adjoint to what other consumers contributed.
pub(crate) fn accumulate<T: Element>(sum: &mut Option<Array<T>>, term: Array<T>) {
    match sum {
        Some(sum) => sum.accumulate(&term),
        None => *sum = Some(term),
    }
}
