//! Curvature: what an optimizer may ask, and how 1-D blocks are probed, averaged and rectified.

mod accumulate;
pub(crate) mod eigen;
pub mod estimator;
pub mod probes;
pub mod rectifiers;
pub mod schedules;
mod visits;

pub use accumulate::{Accumulate, Parts};
pub use visits::Visits;

use sph_autodiff::ParamSpec;
use sph_tensor::{Array, Element};
use std::collections::BTreeMap;

/// Probes that share one sweep. Each keeps the tangents that norms read; what a sweep holds does not grow with the block.
pub const PROBES_PER_SWEEP: usize = 4;

/// K probes (or K products), each a sparse map from parameter to array: [K, shape…] per parameter present, zero where
/// absent.
///
/// One type serves a block probe, several probes at once, and directions over all parameters.
#[derive(Debug, Clone, Default)]
pub struct Directions<T: Element>(BTreeMap<usize, Array<T>>);

impl<T: Element> Directions<T> {
    /// Sets the part on parameter `param`, shape [K, shape…]; all parts have the same K.
    pub fn insert(&mut self, param: usize, part: Array<T>) {
        debug_assert!(self.0.values().all(|a| a.shape()[0] == part.shape()[0]), "one number of probes");
        self.0.insert(param, part);
    }

    /// The part on parameter `param`; `None` is zero.
    pub fn get(&self, param: usize) -> Option<&Array<T>> {
        self.0.get(&param)
    }

    /// Takes the part on parameter `param` out.
    pub(crate) fn take(&mut self, param: usize) -> Option<Array<T>> {
        self.0.remove(&param)
    }

    /// The parts present, by parameter number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Array<T>)> {
        self.0.iter().map(|(p, a)| (*p, a))
    }

    /// K; 1 when there are no parts.
    pub fn probes(&self) -> usize {
        self.0.values().next().map_or(1, |a| a.shape()[0])
    }

    /// True when every part is absent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes every part absent.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Directions v and the parameters whose rows of H·v are wanted: one sweep over what depends on the directions.
#[derive(Debug, Clone, Default)]
pub struct Sweep<T: Element> {
    /// Directions v for H·v; absent parameters are zero, which prunes the sweep.
    pub tangents: Directions<T>,
    /// Parameters whose rows of H·v are wanted.
    pub rows: Vec<usize>,
}

/// What is wanted from one evaluation. Known before it starts, so gradient and products share its passes
/// (docs/algorithm.md §3).
#[derive(Debug, Clone, Default)]
pub struct Request<T: Element> {
    /// Parameters whose gradient is wanted.
    pub gradient: Vec<usize>,
    /// Products wanted. A single sweep is carried with the gradient; several follow it one by one.
    pub sweeps: Vec<Sweep<T>>,
    /// [`Curvature::hvp`] will be called on this point.
    pub keep: bool,
}

impl<T: Element> Request<T> {
    /// Asks for nothing.
    pub fn clear(&mut self) {
        self.gradient.clear();
        self.sweeps.clear();
        self.keep = false;
    }
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, Default)]
pub struct Answer<T: Element> {
    /// The loss.
    pub loss: f64,
    /// Gradients by parameter number; `None` where not asked for or identically zero.
    pub gradient: Vec<Option<Array<T>>>,
    /// The wanted rows of H·v, sweep by sweep; absent is zero.
    pub products: Vec<Directions<T>>,
}

/// The Kronecker factors of one layer's Fisher block (Martens and Grosse 2015; Grosse and Martens 2016): for a batch of N samples with T
/// positions each (1 without an axis of positions), inputs a (patches for a convolution, in the order of its weights; a 1
/// behind them when the layer has a bias) and adjoints ȳ of the mean loss under `labels`,
///
/// ```text
/// A = (1/N) Σ aaᵀ        G = (N/T) Σ ȳȳᵀ
/// ```
#[derive(Debug, Clone)]
pub struct Factors<T: Element> {
    /// A, as many rows as inputs (and 1 for a bias).
    pub a: Array<T>,
    /// G, as many rows as outputs.
    pub g: Array<T>,
}

/// The labels under which a Fisher's gradients are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FisherLabels {
    /// Drawn from the model's own distribution: the true Fisher.
    Sampled {
        /// Seed of the stream.
        seed: u64,
        /// Which draw it is.
        draw: u64,
    },
    /// These, one per sample of the whole batch.
    Given(std::sync::Arc<[u32]>),
}

/// A loss could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The loss is infinite or not a number.
    #[error("the loss is not finite ({0})")]
    NonFiniteLoss(f64),
    /// A parameter's update is infinite or not a number, though the loss is finite.
    #[error("the update of '{0}' is not finite")]
    NonFiniteUpdate(String),
    /// The gradient, a product with the Hessian, or what was made of them is infinite or not a number, though the loss is finite.
    #[error("a product with the Hessian is not finite")]
    NonFiniteProduct,
    /// Something this implementation cannot do, or an error of its own.
    #[error("{0}")]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl EvalError {
    /// What is not finite, where that is the reason: a smaller learning rate helps.
    pub fn not_finite(&self) -> Option<String> {
        match self {
            EvalError::NonFiniteLoss(_) => Some("the loss".into()),
            EvalError::NonFiniteUpdate(name) => Some(format!("the update of '{name}'")),
            EvalError::NonFiniteProduct => Some("a product with the Hessian".into()),
            EvalError::Other(_) => None,
        }
    }
}

/// What an optimizer may ask about a loss at the current point, and how it moves that point. A tape implements it; so
/// can a model in another library, or a function written by hand.
///
/// See `examples/hand_written.rs` for the smallest implementation.
pub trait Curvature<T: Element> {
    /// The parameters.
    fn params(&self) -> &[ParamSpec];

    /// The current point, in the order of `params`.
    fn values(&self) -> &[Array<T>];

    /// Loss, gradient, and H·v for directions known beforehand.
    ///
    /// # Errors
    /// When the loss cannot be evaluated. A loss that is not finite is an answer, not an error.
    fn evaluate(&mut self, want: &Request<T>, out: &mut Answer<T>) -> Result<(), EvalError>;

    /// The wanted rows of H·v at the point of the last `evaluate`, which was asked to `keep`. A row that is absent from `out` is zero.
    ///
    /// # Errors
    /// When nothing was kept, or not what a wanted row is made of: what was not computed is never zero.
    fn hvp(&mut self, sweep: &Sweep<T>, out: &mut Directions<T>) -> Result<(), EvalError>;

    /// The loss at θ + step (K = 1), without side effects: running statistics and random streams stay as they are.
    ///
    /// # Errors
    /// When the loss cannot be evaluated.
    fn loss_at(&mut self, step: &Directions<T>) -> Result<f64, EvalError>;

    /// The Kronecker factors of these layers (the numbers of weights and, where it is preconditioned with them, of the bias), at the
    /// current point and without side effects; `None` for a layer that has none (the loss does not depend on it, or its groups are many).
    ///
    /// An optional capability: K-FAC alone asks for it.
    ///
    /// # Errors
    /// When this loss is not made of layers, which is the default; when weights are read in more than one place, since the factors are
    /// those of one; when a bias is not that of its weights.
    fn kronecker_factors(
        &mut self,
        layers: &[(usize, Option<usize>)],
        labels: &FisherLabels,
    ) -> Result<Vec<Option<Factors<T>>>, EvalError> {
        let _ = (layers, labels);
        Err(EvalError::Other("this loss has no Kronecker factors: kfac needs layers on a tape".into()))
    }

    /// Moves the point: θ ← θ + update, where there is one. What the last evaluation showed beside its answer, such as statistics of a
    /// batch, is taken in here, not before: an evaluation alone changes nothing.
    fn apply(&mut self, updates: &[Option<Array<T>>]);
}
