//! The cost of each op of a recording: its time, and the counts from which a cost model predicts it.

use crate::op::{InputSet, Op};
use sph_tensor::kernels::conv::KernelInfo;
use sph_tensor::{Element, Shape};
use std::time::Duration;

/// The cost of one op in an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct OpCost {
    /// The op's name.
    pub name: &'static str,
    /// Shapes of its inputs.
    pub x: Vec<Shape>,
    /// Shape of its output.
    pub y: Shape,
    /// Multiply-adds of its forward rule ([`Work::multiply_adds`](crate::extensions::Work::multiply_adds)).
    pub multiply_adds: u64,
    /// The kernels that do them ([`Work::kernels`](crate::extensions::Work::kernels)).
    pub kernels: Option<KernelInfo>,
    /// Products that were taken: y, and as many of ẏ, x̄ and x̄̇ as have a term in them. Each probe counts.
    pub products: usize,
    /// Rules that ran, each of which moves about as much memory as the inputs and the output hold. Each probe counts.
    pub rules: usize,
    /// Time of y and ẏ.
    pub forward: Duration,
    /// Time of x̄ and x̄̇.
    pub backward: Duration,
}

impl OpCost {
    pub(crate) fn forward<T: Element>(
        op: &dyn Op<T>,
        x: &[Shape],
        y: Shape,
        (has_dot, probes): (&InputSet, usize),
        time: Duration,
    ) -> Self {
        let tangents = probes * count(has_dot, x.len());
        let work = op.extensions().work;
        OpCost {
            name: op.name(),
            x: x.to_vec(),
            y,
            multiply_adds: work.map_or(0, |work| work.multiply_adds(x, y)),
            kernels: work.and_then(|work| work.kernels(x)),
            products: 1 + tangents,
            rules: 1 + if tangents > 0 { probes } else { 0 },
            forward: time,
            backward: Duration::ZERO,
        }
    }

    /// Adds a visit of the backward sweep; `terms` are those of all x̄̇, for each probe.
    pub(crate) fn add_backward(&mut self, need: &InputSet, (terms, probes): (usize, usize), time: Duration) {
        self.products += count(need, self.x.len()) + probes * terms;
        self.rules += 1 + if terms > 0 { probes } else { 0 };
        self.backward += time;
    }
}

/// How many of the two operands of a product are in the set, of `n` inputs.
fn count(set: &InputSet, n: usize) -> usize {
    (0..n.min(2)).filter(|&i| set.has(i)).count()
}
