//! What some ops offer beyond the four rules of differentiation, one file each.
//!
//! | extension | which ops have it | what reads it |
//! |---|---|---|
//! | [`Work`] | products and convolutions | cost models and profiles |
//! | [`BatchStatistics`] | batch normalization | running averages |
//! | [`KroneckerFactors`] | layers with weights | K-FAC |
//!
//! [`Op::extensions`](crate::Op::extensions) finds them. An op that has none writes nothing. A new extension is a file here and a field
//! of [`Extensions`].

mod kronecker;
mod statistics;
mod work;

pub use kronecker::KroneckerFactors;
pub(crate) use kronecker::factors;
pub use statistics::{BatchStatistics, Statistics};
pub use work::Work;

use sph_tensor::Element;

/// The extensions of an op; `None` where it lacks one.
pub struct Extensions<'a, T: Element> {
    /// How much arithmetic it does.
    pub work: Option<&'a dyn Work<T>>,
    /// The statistics of a batch that it computes.
    pub statistics: Option<&'a dyn BatchStatistics<T>>,
    /// The Kronecker factors of its weights' Fisher block.
    pub kronecker: Option<&'a dyn KroneckerFactors<T>>,
}

impl<T: Element> Extensions<'_, T> {
    /// No extension.
    pub const NONE: Self = Extensions { work: None, statistics: None, kronecker: None };
}
