//! The tape: records by running.

use crate::extensions::Statistics;
use crate::op::{Context, InputSet, Keep, Op, PerInput, Record};
use crate::profile::OpCost;
use sph_tensor::{Array, Element, Pool, Shape, ShapeError, kernels};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A value on the tape. The tape itself keeps residuals alone: a value that no rule reads is freed when the model drops its `Var`, so an
/// evaluation pass needs no more memory than its widest point.
#[derive(Debug, Clone)]
pub struct Var<T: Element> {
    pub(crate) id: usize,
    value: Array<T>,
    dot: Option<Array<T>>,
    wants_bar: bool,
    wants_bar_dot: bool,
}

impl<T: Element> Var<T> {
    /// Its number on the tape, by which [`Recorded`] names it.
    pub fn number(&self) -> usize {
        self.id
    }

    /// The value x.
    pub fn value(&self) -> &Array<T> {
        &self.value
    }

    /// Whether its adjoint is wanted.
    pub(crate) fn wants_bar(&self) -> bool {
        self.wants_bar
    }

    /// The tangent ẋ with its leading probe axis, when this value depends on a leaf that has one.
    pub fn dot(&self) -> Option<&Array<T>> {
        self.dot.as_ref()
    }
}

/// An input of the computation that may have a tangent and may be asked for derivatives.
#[derive(Debug, Clone)]
pub struct Leaf<T: Element> {
    /// The value.
    pub value: Array<T>,
    /// The probes on this leaf, shape [K, value…]; `None` means zero and prunes the sweeps.
    pub dot: Option<Array<T>>,
    /// The gradient is wanted.
    pub grad: bool,
    /// This leaf's rows of H·v are wanted.
    pub hvp: bool,
}

#[derive(Debug)]
pub(crate) struct Node<T: Element> {
    pub(crate) op: Box<dyn Op<T>>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) record: Record<T>,
    /// Inputs whose adjoint is wanted, and those whose adjoint-tangent is.
    pub(crate) need: InputSet,
    pub(crate) need_dot: InputSet,
    /// The inputs' tangents that `vjp_tangent` will read.
    pub(crate) x_dot: PerInput<T>,
    /// ȳ, kept when products may be asked for after the gradient.
    pub(crate) y_bar: Option<Array<T>>,
    pub(crate) is_loss: bool,
}

/// One op of a recording, as code sees it that reads a network off a tape.
#[derive(Debug)]
pub struct Recorded<'a, T: Element> {
    /// The op.
    pub op: &'a dyn Op<T>,
    /// The numbers of its inputs ([`Var::number`]).
    pub inputs: &'a [usize],
    /// Their shapes.
    pub x: &'a [Shape],
    /// The number of its output.
    pub output: usize,
    /// The output's shape.
    pub y: Shape,
}

impl<T: Element> Recorded<'_, T> {
    /// Multiply-adds of its forward rule ([`Work`](crate::extensions::Work)); 0 for an op that is not counted.
    pub fn multiply_adds(&self) -> u64 {
        self.op.extensions().work.map_or(0, |work| work.multiply_adds(self.x, self.y))
    }
}

/// Records operations as they run, with tangents where leaves have them, for one backward pass.
///
/// Three uses:
/// - gradient only: no leaf has a tangent, nothing of second order is kept;
/// - gradient and H·v in the same passes: leaves are given `dot` and `hvp` (docs/algorithm.md §3);
/// - [`Tape::keeping`]: products asked for after the gradient, any number of them ([`crate::sweep::hvp`]).
#[derive(Debug)]
pub struct Tape<T: Element> {
    pub(crate) cx: Context<T>,
    /// `None` for a leaf.
    pub(crate) nodes: Vec<Option<Node<T>>>,
    pub(crate) keeping: bool,
    /// A backward sweep has run. Unless the tape keeps them, the residuals are gone.
    pub(crate) swept: bool,
    /// What the ops cost by node, when it is asked for.
    pub(crate) costs: Option<BTreeMap<usize, OpCost>>,
    statistics: Vec<Statistics>,
    watch_finite: bool,
    first_non_finite: Option<Arc<str>>,
}

impl<T: Element> Tape<T> {
    /// A tape whose tangents carry `probes` probes (K ≥ 1).
    pub fn new(pool: &Pool<T>, probes: usize) -> Self {
        Tape {
            cx: Context::new(pool, probes),
            nodes: Vec::new(),
            keeping: false,
            swept: false,
            costs: None,
            statistics: Vec::new(),
            watch_finite: false,
            first_non_finite: None,
        }
    }

    /// A tape that keeps what [`crate::sweep::jvp()`] and [`crate::sweep::hvp()`] read after [`Tape::backward`].
    pub fn keeping(pool: &Pool<T>) -> Self {
        Tape { keeping: true, ..Tape::new(pool, 1) }
    }

    /// From now on measures what every op costs.
    pub fn measure(&mut self) {
        self.costs = Some(BTreeMap::new());
    }

    /// What the ops cost since [`Tape::measure`], in the order of their forward pass. Products after the gradient are not in it.
    pub fn take_costs(&mut self) -> Vec<OpCost> {
        self.costs.take().into_iter().flat_map(BTreeMap::into_values).collect()
    }

    /// From now on looks at every output and remembers the first that is not finite.
    pub fn watch_finite(&mut self) {
        self.watch_finite = true;
    }

    /// The label of the first op, since [`Tape::watch_finite`], whose output was not finite.
    pub fn first_non_finite(&self) -> Option<&str> {
        self.first_non_finite.as_deref()
    }

    /// Adds statistics that a network computed beside its ops.
    pub fn note_statistics(&mut self, statistics: Statistics) {
        self.statistics.push(statistics);
    }

    /// The statistics that ops computed since the last call, in the order they ran.
    pub fn take_statistics(&mut self) -> Vec<Statistics> {
        std::mem::take(&mut self.statistics)
    }

    /// The ops recorded so far, in the order they ran; numbers that no op has as its output are leaves.
    pub fn recorded(&self) -> impl Iterator<Item = Recorded<'_, T>> {
        self.nodes.iter().enumerate().filter_map(|(output, node)| {
            let Node { op, inputs, record, .. } = node.as_ref()?;
            Some(Recorded { op: &**op, inputs, x: &record.x, output, y: record.y })
        })
    }

    /// Where buffers come from.
    pub fn pool(&self) -> &Pool<T> {
        &self.cx.pool
    }

    /// A value without derivatives.
    pub fn constant(&mut self, value: Array<T>) -> Var<T> {
        self.leaf(Leaf { value, dot: None, grad: false, hvp: false })
    }

    /// An input with the derivatives that `leaf` asks for.
    ///
    /// # Panics
    /// When the tangent's shape is not [K, value…].
    pub fn leaf(&mut self, leaf: Leaf<T>) -> Var<T> {
        if let Some(dot) = &leaf.dot {
            assert_eq!(dot.shape(), leaf.value.shape().prepend(self.cx.probes), "shape of a leaf's tangent");
        }
        self.nodes.push(None);
        Var {
            id: self.nodes.len() - 1,
            value: leaf.value,
            dot: leaf.dot,
            wants_bar: leaf.grad || leaf.hvp,
            wants_bar_dot: leaf.hvp,
        }
    }

    /// Runs `op` on `x` and records it. `label` says which layer this is, for messages.
    ///
    /// # Errors
    /// When the inputs' shapes do not fit the op.
    pub fn apply(
        &mut self,
        op: impl Op<T> + 'static,
        x: &[&Var<T>],
        label: &str,
    ) -> Result<Var<T>, ShapeError> {
        self.apply_boxed(Box::new(op), x, label)
    }

    /// [`Tape::apply`] of an op of any type: it is compiled once, not for each of them.
    ///
    /// # Errors
    /// As there.
    pub fn apply_boxed(
        &mut self,
        op: Box<dyn Op<T>>,
        x: &[&Var<T>],
        label: &str,
    ) -> Result<Var<T>, ShapeError> {
        let shapes: Vec<_> = x.iter().map(|x| x.value.shape()).collect();
        let y_shape = op.output_shape(&shapes)?;
        let positions = |f: &dyn Fn(&Var<T>) -> bool| -> InputSet {
            x.iter().enumerate().filter(|(_, x)| f(x)).map(|(i, _)| i).collect()
        };
        let need = positions(&|x| x.wants_bar);
        let need_dot = positions(&|x| x.wants_bar_dot);
        let has_dot = positions(&|x| x.dot.is_some());
        let keep = if self.keeping {
            // A later tangent may sit on any leaf.
            Keep { x_bar: need.clone(), x_dot: InputSet::EVERY, x_bar_dot: need.clone() }
        } else {
            Keep { x_bar: need.clone(), x_dot: has_dot.clone(), x_bar_dot: need_dot.clone() }
        };
        let start = self.costs.is_some().then(Instant::now);
        let values: Vec<_> = x.iter().map(|x| &x.value).collect();
        let (value, residuals) = match op.extensions().statistics {
            Some(op) => {
                let (value, residuals, statistics) =
                    op.forward_with_statistics(&self.cx, &values, y_shape, keep);
                self.statistics.extend(statistics);
                (value, residuals)
            }
            None => op.forward(&self.cx, &values, y_shape, keep),
        };
        debug_assert_eq!(value.shape(), y_shape, "{}: output", op.name());
        if self.watch_finite && self.first_non_finite.is_none() && !kernels::map::all_finite(value.as_slice())
        {
            self.first_non_finite = Some(label.into());
        }
        let record = Record { residuals, x: shapes, y: y_shape };
        let x_dot_refs: Vec<_> = x.iter().map(|x| x.dot.as_ref()).collect();
        let dot = has_dot.any().then(|| op.jvp(&self.cx, &record, &x_dot_refs));
        if let (Some(costs), Some(start)) = (&mut self.costs, start) {
            let tangents = (&has_dot, self.cx.probes);
            let cost = OpCost::forward(&*op, &record.x, y_shape, tangents, start.elapsed());
            costs.insert(self.nodes.len(), cost);
        }
        let read = op.tangents_read(&need_dot);
        let x_dot = x.iter().enumerate().map(|(i, x)| x.dot.clone().filter(|_| read.has(i))).collect();
        let (wants_bar, wants_bar_dot) = (need.any(), need_dot.any());
        self.nodes.push(Some(Node {
            inputs: x.iter().map(|x| x.id).collect(),
            record,
            need,
            need_dot,
            x_dot,
            y_bar: None,
            is_loss: false,
            op,
        }));
        Ok(Var { id: self.nodes.len() - 1, value, dot, wants_bar, wants_bar_dot })
    }

    /// The Kronecker factors of the Fisher block of `weights` (see [`KroneckerFactors`](crate::extensions::KroneckerFactors)), with those of `bias` where it is given, on
    /// a [`Tape::keeping`] recording whose backward sweep has run; `None` when no layer with weights reads them or the loss does not
    /// depend on it.
    ///
    /// # Errors
    /// When `weights` are read in several places: the Fisher block of their sum is no Kronecker product. When `bias` is not what the layer of
    /// `weights` adds.
    pub fn kronecker_factors(
        &self,
        weights: &Var<T>,
        bias: Option<&Var<T>>,
    ) -> Result<Option<[Array<T>; 2]>, NotOneLayer> {
        let readers = || self.nodes.iter().flatten().filter(|n| n.inputs.contains(&weights.id));
        let times = readers().flat_map(|n| &n.inputs).filter(|i| **i == weights.id).count();
        if times > 1 {
            return Err(NotOneLayer::Shared { times });
        }
        let Some(reader) = readers().find(|n| n.inputs.get(1) == Some(&weights.id)) else { return Ok(None) };
        if let Some(bias) = bias
            && reader.inputs.get(2) != Some(&bias.id)
        {
            return Err(NotOneLayer::ForeignBias);
        }
        let Some(y_bar) = &reader.y_bar else { return Ok(None) };
        let factors = reader.op.extensions().kronecker;
        Ok(factors.map(|f| f.kronecker_factors(&self.cx, &reader.record, y_bar, bias.is_some())))
    }
}

/// Weights and bias that have no Kronecker factors, because they are not those of one layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOneLayer {
    /// The weights are shared.
    #[error("is read in {times} places: shared weights have no Kronecker factors")]
    Shared {
        /// How often they are read.
        times: usize,
    },
    /// The bias is added elsewhere, or nowhere.
    #[error("belongs to a layer that does not add the bias it is paired with")]
    ForeignBias,
}
