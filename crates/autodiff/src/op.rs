//! The trait of a differentiable operation: four rules.

use crate::extensions::Extensions;
use sph_tensor::{Array, Element, Pool, Shape, ShapeError};
use std::any::Any;
use std::fmt::Debug;

/// A set of an op's inputs, by position. There may be any number of them.
#[derive(Debug, Clone, Default)]
pub struct InputSet {
    /// A bit for each position, 64 to a word.
    words: Vec<u64>,
    /// Whether all later positions are in the set.
    beyond: bool,
}

impl InputSet {
    /// No input.
    pub const NONE: InputSet = InputSet { words: Vec::new(), beyond: false };

    /// Every input, however many there are.
    pub const EVERY: InputSet = InputSet { words: Vec::new(), beyond: true };

    /// The first `n` inputs.
    pub fn all(n: usize) -> Self {
        (0..n).collect()
    }

    /// Whether input `i` is in the set.
    pub fn has(&self, i: usize) -> bool {
        self.words.get(i / 64).map_or(self.beyond, |word| word >> (i % 64) & 1 == 1)
    }

    /// Whether any input is in the set.
    pub fn any(&self) -> bool {
        self.beyond || self.words.iter().any(|word| *word != 0)
    }
}

impl FromIterator<usize> for InputSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut words = Vec::new();
        for i in positions {
            if words.len() <= i / 64 {
                words.resize(i / 64 + 1, 0);
            }
            words[i / 64] |= 1 << (i % 64);
        }
        InputSet { words, beyond: false }
    }
}

/// What later rules will be asked for, so that `forward` keeps no more than they read.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Inputs whose adjoint `vjp` will be asked for.
    pub x_bar: InputSet,
    /// Inputs that may carry a tangent into `jvp` and `vjp_tangent`.
    pub x_dot: InputSet,
    /// Inputs whose adjoint-tangent `vjp_tangent` will be asked for.
    pub x_bar_dot: InputSet,
}

impl Keep {
    /// Whether any rule but `forward` will be called.
    pub fn any(&self) -> bool {
        self.x_bar.any() || self.x_dot.any() || self.x_bar_dot.any()
    }
}

/// Residuals: the arrays that `forward` keeps for the other rules, by position.
#[derive(Debug, Clone)]
pub struct Residuals<T: Element>(Vec<Option<Array<T>>>);

impl<T: Element> Residuals<T> {
    /// Residuals at positions 0, 1, …; `None` where nothing is kept.
    pub fn new(arrays: impl IntoIterator<Item = Option<Array<T>>>) -> Self {
        Residuals(arrays.into_iter().collect())
    }

    /// No residuals.
    pub fn none() -> Self {
        Residuals(Vec::new())
    }

    /// The residual at position `i`.
    ///
    /// # Panics
    /// When `forward` did not keep it: the op's `Keep` logic is wrong.
    pub fn at(&self, i: usize) -> &Array<T> {
        self.0.get(i).and_then(Option::as_ref).expect("residual that forward was not asked to keep")
    }
}

/// What one application of an op keeps for its other rules.
#[derive(Debug)]
pub struct Record<T: Element> {
    /// The residuals.
    pub residuals: Residuals<T>,
    /// Shapes of the inputs.
    pub x: Vec<Shape>,
    /// Shape of the output.
    pub y: Shape,
}

/// What a rule uses beside its inputs.
#[derive(Debug)]
pub struct Context<T: Element> {
    /// The pool that buffers come from.
    pub pool: Pool<T>,
    /// K, the extent of the probe axis of every tangent and adjoint-tangent.
    pub probes: usize,
}

impl<T: Element> Context<T> {
    /// A context whose tangents carry `probes` probes.
    pub fn new(pool: &Pool<T>, probes: usize) -> Self {
        Context { pool: pool.clone(), probes }
    }

    /// A buffer whose contents are stale; see [`Array::stale`].
    pub fn array(&self, shape: Shape) -> Array<T> {
        Array::stale(&self.pool, shape)
    }

    /// A buffer for a tangent of `shape`: the probe axis in front.
    pub fn tangent(&self, shape: Shape) -> Array<T> {
        self.array(shape.prepend(self.probes))
    }

    /// A tangent made probe by probe: `f(k, part k)`.
    pub fn each_probe(&self, shape: Shape, mut f: impl FnMut(usize, &mut [T])) -> Array<T> {
        let mut out = self.tangent(shape);
        let n = shape.len().max(1);
        out.make_mut().chunks_exact_mut(n).enumerate().for_each(|(k, part)| f(k, part));
        out
    }
}

/// An array for each input of an op: tangents, adjoints or adjoint-tangents. `None` is zero or not asked for.
pub type PerInput<T> = Vec<Option<Array<T>>>;

/// One differentiable operation y = f(x₀, x₁, …).
///
/// `x_dot[i]` is ẋᵢ with a leading probe axis of extent `cx.probes`, or `None` when it is zero; `y_bar` is ȳ;
/// `y_bar_dot` is ȳ̇ with a probe axis. Rules return one entry per input, `Some` exactly for the inputs in `need`
/// (a zero may be `None`).
///
/// Code that reads a tape recognises an op by its type (`Any`). A new op passes [`crate::check_op`] before it is used.
pub trait Op<T: Element>: Any + Debug + Send + Sync {
    /// The op's name in the table and in messages.
    fn name(&self) -> &'static str;

    /// The output's shape.
    ///
    /// # Errors
    /// When the inputs' shapes do not fit. The other methods may rely on this check.
    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError>;

    /// y and the residuals that the rules named in `keep` read.
    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>);

    /// x̄ = Jᵀ ȳ.
    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T>;

    /// ẏ = J ẋ. At least one `x_dot` is present.
    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T>;

    /// x̄̇ = Jᵀ ȳ̇ + ∂ₓ(Jᵀ ȳ)·ẋ. At least one `x_dot` or `y_bar_dot` is present.
    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T>;

    /// The tangents that `vjp_tangent` reads when asked for `need`; the others are freed after the forward pass.
    fn tangents_read(&self, need: &InputSet) -> InputSet {
        if need.any() { InputSet::EVERY } else { InputSet::NONE }
    }

    /// `vjp` for `need` and `vjp_tangent` for `need_dot` in one call; overridden where the two share passes over memory.
    #[allow(clippy::too_many_arguments)] // the union of both rules' arguments
    fn vjp_and_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
        need_dot: &InputSet,
    ) -> (PerInput<T>, PerInput<T>) {
        let x_bar = self.vjp(cx, r, y_bar, need);
        (x_bar, self.vjp_tangent(cx, r, x_dot, y_bar, y_bar_dot, need_dot))
    }

    /// What the op offers beyond its rules; nothing unless it says so.
    fn extensions(&self) -> Extensions<'_, T> {
        Extensions::NONE
    }
}
