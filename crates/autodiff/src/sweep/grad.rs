//! The backward sweep: adjoints and, where leaves carry probes, adjoint-tangents with them.

use crate::sweep::accumulate;
use crate::tape::{Tape, Var};
use sph_tensor::{Array, Element};
use std::time::Instant;

/// Adjoints and adjoint-tangents of the leaves, from a backward sweep.
#[derive(Debug)]
pub struct Adjoints<T: Element> {
    adjoints: Vec<Option<Array<T>>>,
    adjoint_tangents: Vec<Option<Array<T>>>,
}

impl<T: Element> Adjoints<T> {
    /// ∂L/∂leaf; `None` when it was not asked for or the loss does not depend on the leaf.
    pub fn grad(&self, leaf: &Var<T>) -> Option<&Array<T>> {
        self.adjoints[leaf.id].as_ref()
    }

    /// The leaf's rows of H·v, shape [K, leaf…]; `None` when not asked for or identically zero.
    pub fn hvp(&self, leaf: &Var<T>) -> Option<&Array<T>> {
        self.adjoint_tangents[leaf.id].as_ref()
    }

    /// As [`Adjoints::grad`], giving the array away.
    pub fn take_grad(&mut self, leaf: &Var<T>) -> Option<Array<T>> {
        self.adjoints[leaf.id].take()
    }

    /// As [`Adjoints::hvp`], giving the array away.
    pub fn take_hvp(&mut self, leaf: &Var<T>) -> Option<Array<T>> {
        self.adjoint_tangents[leaf.id].take()
    }
}

impl<T: Element> Tape<T> {
    /// One backward sweep from `loss` (a scalar), carrying x̄ and, over what the wanted leaves reach, x̄̇ together
    /// (docs/algorithm.md §3). An op's residuals, and its adjoints unless the tape is [`Tape::keeping`], are freed as soon
    /// as it has been visited.
    ///
    /// # Panics
    /// When `loss` is not a scalar, or on a second call on a tape that does not keep.
    pub fn backward(&mut self, loss: &Var<T>) -> Adjoints<T> {
        assert_eq!(loss.value().shape().len(), 1, "the loss is a scalar");
        assert!(self.keeping || !self.swept, "a second backward sweep needs Tape::keeping");
        self.swept = true;
        for node in self.nodes.iter_mut().flatten() {
            (node.is_loss, node.y_bar) = (false, None);
        }
        let mut adjoints: Vec<Option<Array<T>>> = vec![None; self.nodes.len()];
        let mut adjoint_tangents: Vec<Option<Array<T>>> = vec![None; self.nodes.len()];
        adjoints[loss.id] = Some(Array::full(&self.cx.pool, loss.value().shape(), T::ONE));
        if let Some(node) = &mut self.nodes[loss.id] {
            node.is_loss = true;
        }
        for id in (0..=loss.id).rev() {
            let Some(node) = &mut self.nodes[id] else { continue };
            let y_bar_dot = adjoint_tangents[id].take();
            if let Some(y_bar) = adjoints[id].take().filter(|_| node.need.any()) {
                let start = self.costs.is_some().then(Instant::now);
                let x_dot: Vec<_> = node.x_dot.iter().map(Option::as_ref).collect();
                let curved =
                    node.need_dot.any() && (y_bar_dot.is_some() || x_dot.iter().any(Option::is_some));
                let (x_bar, x_bar_dot) = if curved {
                    let (need, need_dot) = (&node.need, &node.need_dot);
                    let (op, cx) = (&node.op, &self.cx);
                    op.vjp_and_tangent(cx, &node.record, &x_dot, &y_bar, y_bar_dot.as_ref(), need, need_dot)
                } else {
                    (node.op.vjp(&self.cx, &node.record, &y_bar, &node.need), vec![])
                };
                if let (Some(start), Some(cost)) = (start, self.costs.as_mut().and_then(|c| c.get_mut(&id))) {
                    // x̄̇ of each wanted input has a term from ȳ̇ and one from each other input's tangent.
                    let others =
                        |i: usize| (0..x_dot.len()).filter(|&j| j != i && x_dot[j].is_some()).count();
                    let from_y = usize::from(y_bar_dot.is_some());
                    let wanted = (0..x_dot.len()).filter(|&i| curved && node.need_dot.has(i));
                    let terms = wanted.map(|i| from_y + others(i)).sum();
                    cost.add_backward(&node.need, (terms, self.cx.probes), start.elapsed());
                }
                drop(y_bar_dot);
                if self.keeping {
                    node.y_bar = Some(y_bar);
                } else {
                    // Free ȳ before sums are taken: it may share its buffer with what it was passed on as.
                    drop(y_bar);
                }
                for (into, terms) in [(&mut adjoints, x_bar), (&mut adjoint_tangents, x_bar_dot)] {
                    for (&input, term) in node.inputs.iter().zip(terms) {
                        if let Some(term) = term {
                            accumulate(&mut into[input], term);
                        }
                    }
                }
            }
            if !self.keeping {
                self.nodes[id] = None;
            }
        }
        Adjoints { adjoints, adjoint_tangents }
    }
}
