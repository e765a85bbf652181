//! Statistics of a batch that an op computes on its way to y.

use crate::op::{Context, Keep, Residuals};
use sph_tensor::{Array, Element, Shape};

/// Mean and variance of a batch, from which batch normalization's running averages are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The number of the running averages that they belong to. The op was given it.
    pub slot: usize,
    /// Mean per channel; or the new values of a buffer that the network itself computes.
    pub mean: Vec<f64>,
    /// Unbiased variance per channel; empty for such a buffer.
    pub var: Vec<f64>,
}

/// An op whose forward rule computes statistics of the batch. They are in double precision; the residuals are not.
pub trait BatchStatistics<T: Element> {
    /// As [`Op::forward`](crate::Op::forward), with the statistics; `None` when the op was given no slot for them.
    fn forward_with_statistics(
        &self,
        cx: &Context<T>,
        x: &[&Array<T>],
        y: Shape,
        keep: Keep,
    ) -> (Array<T>, Residuals<T>, Option<Statistics>);
}
