//! Groups of parameters, each with its chain, and the optimizer that drives a step.

use crate::curvature::{Answer, Curvature, EvalError, Request};
use crate::state::{StateDict, StateError};
use crate::transform::{BlockReport, Overrides, Transform, UpdateContext};
use sph_autodiff::ParamSpec;
use sph_tensor::{Array, Element, kernels::map};

/// Parameters that share a chain of transforms.
#[derive(Debug)]
pub struct Group<T: Element> {
    /// The name under which state is saved.
    pub name: &'static str,
    /// Parameters, by number.
    pub members: Vec<usize>,
    /// Applied in order to the gradients.
    pub chain: Vec<Box<dyn Transform<T>>>,
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The loss before the step.
    pub loss: f64,
    /// The step asked for a Hessian-vector product.
    pub curvature: bool,
}

/// Groups with their chains. A step asks every chain what it wants to know, evaluates once, and moves the point by
/// −lr times the directions.
#[derive(Debug)]
pub struct Optimizer<T: Element> {
    specs: Vec<ParamSpec>,
    groups: Vec<Group<T>>,
    overrides: Vec<Overrides>,
    steps: u64,
    request: Request<T>,
    answer: Answer<T>,
}

impl<T: Element> Optimizer<T> {
    /// An optimizer of the parameters `specs`. A parameter in no group does not move.
    pub fn new(specs: &[ParamSpec], groups: Vec<Group<T>>) -> Self {
        Optimizer {
            specs: specs.to_vec(),
            groups: groups.into_iter().filter(|g| !g.members.is_empty()).collect(),
            overrides: vec![Overrides::default(); specs.len()],
            steps: 0,
            request: Request::default(),
            answer: Answer::default(),
        }
    }

    /// The same optimizer with `transform` in front of all its chains, over the members of all groups. `name` is that of the new group.
    pub fn preceded_by(mut self, name: &'static str, transform: Box<dyn Transform<T>>) -> Self {
        self.groups.insert(0, self.over_all(name, transform));
        self
    }

    /// The same optimizer with `transform` behind all its chains, over the members of all groups. `name` is that of the new group.
    pub fn followed_by(mut self, name: &'static str, transform: Box<dyn Transform<T>>) -> Self {
        self.groups.push(self.over_all(name, transform));
        self
    }

    fn over_all(&self, name: &'static str, transform: Box<dyn Transform<T>>) -> Group<T> {
        let grouped = |i: &usize| self.groups.iter().any(|g| g.members.contains(i));
        let members = (0..self.specs.len()).filter(grouped).collect();
        Group { name, members, chain: vec![transform] }
    }

    /// The same optimizer with settings for single parameters, by parameter number, that stand in the place of their groups'.
    ///
    /// # Panics
    /// When there is not one for every parameter, or a multiplier is not greater than 0.
    pub fn with_overrides(self, overrides: Vec<Overrides>) -> Self {
        assert_eq!(overrides.len(), self.specs.len(), "overrides for every parameter");
        assert!(
            overrides.iter().all(|o| o.lr_mult > 0.0),
            "multipliers of learning rates are greater than 0"
        );
        Optimizer { overrides, ..self }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step with learning rate `lr` on `f`.
    ///
    /// # Errors
    /// When `f` cannot be evaluated, or the loss or an update is not finite. The step has not happened then: the point and all state
    /// are what they were, and the next step is what it would have been without this one.
    pub fn step(&mut self, f: &mut dyn Curvature<T>, lr: f64) -> Result<StepReport, EvalError> {
        self.request.clear();
        // Shared, not copied; let go of before the point moves.
        let values = f.values().to_vec();
        for g in &mut self.groups {
            let cx = context(&self.specs, &self.overrides, &values, &g.members, self.steps, lr);
            g.chain.iter_mut().for_each(|t| t.request(&cx, &mut self.request));
            self.request.gradient.extend(&g.members);
        }
        f.evaluate(&self.request, &mut self.answer)?;
        let report = StepReport { loss: self.answer.loss, curvature: !self.request.sweeps.is_empty() };
        if !report.loss.is_finite() {
            return Err(EvalError::NonFiniteLoss(report.loss));
        }
        let mut updates = std::mem::take(&mut self.answer.gradient);
        // What is in no group does not move, even if its gradient was given.
        for (i, update) in updates.iter_mut().enumerate() {
            if !self.groups.iter().any(|g| g.members.contains(&i)) {
                *update = None;
            }
        }
        for g in &mut self.groups {
            let cx = context(&self.specs, &self.overrides, &values, &g.members, self.steps, lr);
            for t in &mut g.chain {
                t.update(&cx, f, &self.answer, &mut updates)?;
            }
        }
        drop(values);
        let rates: Vec<T> = self.overrides.iter().map(|own| T::from_f64(-lr * own.lr_mult)).collect();
        for ((update, spec), rate) in updates.iter().zip(&self.specs).zip(&rates) {
            if update.as_ref().is_some_and(|u| !map::finite_times(u.as_slice(), *rate)) {
                return Err(EvalError::NonFiniteUpdate(spec.name.clone()));
            }
        }
        // From here on nothing fails. State is let go of before room is made for the step.
        self.groups.iter_mut().flat_map(|g| &mut g.chain).for_each(|t| t.commit());
        for (update, rate) in updates.iter_mut().zip(&rates) {
            let Some(update) = update else { continue };
            // A fresh buffer: a transform may keep the one it handed out.
            let mut step = Array::stale(update.pool(), update.shape());
            map::unary(step.make_mut(), update.as_slice(), |u| *rate * u);
            *update = step;
        }
        f.apply(&updates);
        updates.clear();
        self.answer.gradient = updates;
        self.answer.products.clear();
        self.steps += 1;
        Ok(report)
    }

    /// What is known of the curvature of each second-order block.
    pub fn report(&self, values: &[Array<T>]) -> Vec<BlockReport> {
        let of = |g: &Group<T>| {
            let cx = context(&self.specs, &self.overrides, values, &g.members, self.steps, 0.0);
            g.chain.iter().flat_map(|t| t.report(&cx)).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of).collect()
    }

    /// All state, by name.
    pub fn save(&self, values: &[Array<T>]) -> StateDict<T> {
        let mut to = StateDict::default();
        to.numbers.insert("steps".into(), self.steps);
        for g in &self.groups {
            let cx = context(&self.specs, &self.overrides, values, &g.members, self.steps, 0.0);
            for t in &g.chain {
                t.save(&cx, &format!("{}.{}", g.name, t.name()), &mut to);
            }
        }
        to
    }

    /// Takes state back.
    ///
    /// # Errors
    /// When `from` holds a tensor of the wrong size or something this optimizer does not have.
    pub fn load(&mut self, values: &[Array<T>], mut from: StateDict<T>) -> Result<(), StateError> {
        self.steps = from.take_number("steps").ok_or_else(|| StateError::Missing("steps".into()))?;
        for g in &mut self.groups {
            let cx = context(&self.specs, &self.overrides, values, &g.members, self.steps, 0.0);
            for t in &mut g.chain {
                t.load(&cx, &format!("{}.{}", g.name, t.name()), &mut from)?;
            }
        }
        match from.arrays.into_keys().chain(from.numbers.into_keys()).next() {
            Some(name) => Err(StateError::Unknown(name)),
            None => Ok(()),
        }
    }
}

/// What the transforms of a group see. The parts are named one by one, because a chain is changed while it sees them.
fn context<'a, T: Element>(
    specs: &'a [ParamSpec],
    overrides: &'a [Overrides],
    values: &'a [Array<T>],
    members: &'a [usize],
    step: u64,
    lr: f64,
) -> UpdateContext<'a, T> {
    UpdateContext { specs, overrides, values, members, step, lr }
}

/// `a[i] = f(a[i])`.
pub(crate) fn map_in_place<T: Element>(a: &mut Array<T>, f: impl Fn(T) -> T + Sync) {
    let mut out = Array::stale(a.pool(), a.shape());
    map::unary(out.make_mut(), a.as_slice(), f);
    *a = out;
}
