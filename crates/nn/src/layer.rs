//! Modules and the pass they run in.

use crate::statistics::StatisticsSlot;
use crate::store::Store;
use sph_autodiff::{Leaf, Op, Tape, Var, ops};
use sph_tensor::{Array, Element, Pool, Rng, ShapeError};

/// Training or evaluation: decides where batch normalization takes its statistics from, and whether there is dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch, where the store's [`NormStatistics`](crate::NormStatistics) does not say otherwise.
    Train,
    /// Running statistics.
    Eval,
}

/// Shapes that a layer cannot be applied to.
#[derive(Debug, Clone, thiserror::Error)]
#[error("layer '{layer}': {source}")]
pub struct LayerError {
    /// The layer's name, its parameters' prefix.
    pub layer: String,
    /// What does not fit.
    #[source]
    pub source: ShapeError,
}

/// The derivatives that a pass carries for one parameter.
#[derive(Debug, Clone)]
pub struct Probes<T: Element> {
    /// The probes on it, [K, shape…].
    pub dot: Option<Array<T>>,
    /// Its gradient is wanted.
    pub grad: bool,
    /// Its rows of H·v are wanted.
    pub hvp: bool,
}

/// One pass of a network: the tape and the leaves of all parameters.
#[derive(Debug)]
pub struct Forward<'a, T: Element> {
    /// The tape that records.
    pub tape: Tape<T>,
    leaves: Vec<Var<T>>,
    store: &'a Store<T>,
    mode: Mode,
    /// The seed and the number of the batch. Layers draw masks by them, so every pass over a batch draws the same.
    pub draw: (u64, u64),
    /// What the network reads beside the activation that [`Module::forward`] is given: its second input and those behind it.
    pub more_inputs: Vec<Var<T>>,
}

impl<'a, T: Element> Forward<'a, T> {
    /// A pass without derivatives.
    pub fn new(store: &'a Store<T>, pool: &Pool<T>, mode: Mode) -> Self {
        Self::on(Tape::new(pool, 1), store, mode, |_| Probes { dot: None, grad: false, hvp: false })
    }

    /// A pass on `tape`; `probes(i)` names the derivatives wanted of parameter i.
    pub fn on(
        mut tape: Tape<T>,
        store: &'a Store<T>,
        mode: Mode,
        mut probes: impl FnMut(usize) -> Probes<T>,
    ) -> Self {
        let leaves = (0..store.values.len())
            .map(|i| {
                let Probes { dot, grad, hvp } = probes(i);
                tape.leaf(Leaf { value: store.values[i].clone(), dot, grad, hvp })
            })
            .collect();
        Forward { tape, leaves, store, mode, draw: (0, 0), more_inputs: Vec::new() }
    }

    /// Training or evaluation.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the norm with these running statistics takes its own of the batch in this pass.
    pub fn takes_statistics(&self, norm: StatisticsSlot) -> bool {
        self.mode == Mode::Train && self.store.follows(norm.slot)
    }

    /// The random stream of mask source number `source` ([`crate::Builder::dropout`]) for this batch.
    pub fn rng(&self, source: u64) -> Rng {
        Rng::new(self.draw.0, "dropout", source, self.draw.1)
    }

    /// The leaf of parameter number `param`.
    pub fn param(&self, param: usize) -> &Var<T> {
        &self.leaves[param]
    }

    /// The values of buffer number `buffer`.
    pub fn buffer(&self, buffer: usize) -> &[f64] {
        &self.store.buffers[buffer]
    }

    /// Runs `op` on `x` and then on parameters, as layer `layer`.
    ///
    /// # Errors
    /// When shapes do not fit; the error names the layer.
    pub fn apply(
        &mut self,
        op: impl Op<T> + 'static,
        x: &[&Var<T>],
        params: &[usize],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        self.apply_boxed(Box::new(op), x, params, layer)
    }

    fn apply_boxed(
        &mut self,
        op: Box<dyn Op<T>>,
        x: &[&Var<T>],
        params: &[usize],
        layer: &str,
    ) -> Result<Var<T>, LayerError> {
        let inputs: Vec<&Var<T>> = x.iter().copied().chain(params.iter().map(|&p| &self.leaves[p])).collect();
        self.tape
            .apply_boxed(op, &inputs, layer)
            .map_err(|source| LayerError { layer: layer.to_string(), source })
    }

    /// The tape and the leaves, for the backward pass.
    pub fn into_parts(self) -> (Tape<T>, Vec<Var<T>>) {
        (self.tape, self.leaves)
    }
}

/// Maps an activation to an activation. Layers hold numbers of parameters, not values, so one module serves f32 and
/// f64.
pub trait Module<T: Element>: Send + Sync {
    /// The output for `x`, recorded on the pass's tape.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError>;

    /// max(forward(x) + shortcut, 0), the rectifier as layer `relu`. Overridden where one op does it in fewer passes over memory.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn forward_relu(
        &self,
        f: &mut Forward<'_, T>,
        x: &Var<T>,
        shortcut: Option<&Var<T>>,
        relu: &str,
    ) -> Result<Var<T>, LayerError> {
        let mut y = self.forward(f, x)?;
        if let Some(shortcut) = shortcut {
            y = f.apply(ops::add(), &[&y, shortcut], &[], relu)?;
        }
        f.apply(ops::relu(), &[&y], &[], relu)
    }
}

/// A module for both element types; every `impl<T: Real> Module<T> for X` is one.
pub trait Model: Module<f32> + Module<f64> {}

impl<M: Module<f32> + Module<f64>> Model for M {}

/// An element type that models are built for.
pub trait Real: Element {
    /// The model as a module of this element type.
    fn module(model: &dyn Model) -> &dyn Module<Self>;
}

impl Real for f32 {
    fn module(model: &dyn Model) -> &dyn Module<f32> {
        model
    }
}

impl Real for f64 {
    fn module(model: &dyn Model) -> &dyn Module<f64> {
        model
    }
}
