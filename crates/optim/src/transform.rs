//! The trait of an optimizer's building block.

use crate::curvature::{Answer, Curvature, EvalError, Request};
use crate::state::{StateDict, StateError};
use sph_autodiff::ParamSpec;
use sph_tensor::{Array, Element};
use std::fmt::Debug;

/// Settings of one parameter that stand in the place of its group's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overrides {
    /// What the learning rate is multiplied by, more than 0.
    pub lr_mult: f64,
    /// Its weight decay, where its group has one.
    pub weight_decay: Option<f64>,
    /// Its momentum in [0, 1), where its group has one.
    pub momentum: Option<f64>,
}

impl Default for Overrides {
    fn default() -> Self {
        Overrides { lr_mult: 1.0, weight_decay: None, momentum: None }
    }
}

/// What a transform sees of a step.
#[derive(Debug)]
pub struct UpdateContext<'a, T: Element> {
    /// All parameters.
    pub specs: &'a [ParamSpec],
    /// Their settings of their own.
    pub overrides: &'a [Overrides],
    /// Their values before the step.
    pub values: &'a [Array<T>],
    /// The parameters of this transform's group, by number.
    pub members: &'a [usize],
    /// Steps taken before this one.
    pub step: u64,
    /// The step's learning rate, before any parameter's multiplier.
    pub lr: f64,
}

impl<T: Element> UpdateContext<'_, T> {
    /// The weight decay of parameter `i` in a group that has `decay`.
    pub fn weight_decay(&self, i: usize, decay: f64) -> f64 {
        self.overrides[i].weight_decay.unwrap_or(decay)
    }

    /// The momentum of parameter `i` in a group that has `momentum`.
    pub fn momentum(&self, i: usize, momentum: f64) -> f64 {
        self.overrides[i].momentum.unwrap_or(momentum)
    }
}

/// What is known of a block's curvature, and what a step does with it.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockReport {
    /// The block's name.
    pub block: String,
    /// How often it was visited.
    pub visits: u64,
    /// Sum of the averaged curvature: of row sums or diagonal entries, whichever the probe finds, or of eigenvalues.
    pub trace: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Fraction that is negative.
    pub negative: f64,
    /// The effective multipliers τ/rectified of its entries, in ascending order; at least one.
    pub multipliers: Vec<f64>,
}

impl BlockReport {
    /// Minimum, quartiles and maximum of the effective multipliers.
    pub fn quartiles(&self) -> [f64; 5] {
        [0, 1, 2, 3, 4].map(|q| self.multipliers[(self.multipliers.len() - 1) * q / 4])
    }
}

/// One link of an optimizer's chain. It first says what it wants to know beyond the gradient, then turns the answer
/// into an update of its group.
///
/// The first link finds the gradients in `updates`; the last leaves the descent direction, which the optimizer
/// multiplies by −lr.
pub trait Transform<T: Element>: Debug + Send {
    /// The name under which its state is saved.
    fn name(&self) -> &'static str;

    /// Adds to `want` what the coming step needs. The default needs the gradient only.
    fn request(&mut self, cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        let _ = (cx, want);
    }

    /// Changes the entries of `updates` that belong to `cx.members`. What the answer does not say can be asked of `f`, which
    /// stands where the answer was given: products if the request said `keep`, losses, factors.
    ///
    /// What this step makes of its state it puts aside: the step may still be refused, and then the state is what it was. For that at most
    /// one array more per parameter is held until the step is taken: new state stands in the gradient's buffer, or is made of the
    /// gradient later.
    ///
    /// # Errors
    /// When `f` cannot answer.
    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError>;

    /// The step is taken: what [`Transform::update`] put aside becomes the state. A step that is refused is followed by another
    /// `update` without this. For a transform that has state; the default has none.
    fn commit(&mut self) {}

    /// What it knows of its members' curvature.
    fn report(&self, cx: &UpdateContext<'_, T>) -> Vec<BlockReport> {
        let _ = cx;
        Vec::new()
    }

    /// Writes its state under names that begin with `prefix`.
    fn save(&self, cx: &UpdateContext<'_, T>, prefix: &str, to: &mut StateDict<T>) {
        let _ = (cx, prefix, to);
    }

    /// Takes its state back out of `from`.
    ///
    /// # Errors
    /// When a tensor has the wrong size.
    fn load(
        &mut self,
        cx: &UpdateContext<'_, T>,
        prefix: &str,
        from: &mut StateDict<T>,
    ) -> Result<(), StateError> {
        let _ = (cx, prefix, from);
        Ok(())
    }
}
