//! Groups of parameters, each with its chain, and the optimizer that drives a step.

use crate::curvature::{Answer, Curvature, EvalError, Request};
use crate::state::{StateDict, StateError};
use crate::transform::{BlockReport, Transform, UpdateContext};
use sph_nn::ParamSpec;
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
            steps: 0,
            request: Request::default(),
            answer: Answer::default(),
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step with learning rate `lr` on `f`.
    ///
    /// # Errors
    /// When `f` cannot be evaluated, or the loss or an update is not finite; the point has not moved then.
    pub fn step(&mut self, f: &mut dyn Curvature<T>, lr: f64) -> Result<StepReport, EvalError> {
        self.request.clear();
        // Shared, not copied; let go of before the point moves.
        let values = f.values().to_vec();
        for g in &mut self.groups {
            let cx = UpdateContext {
                specs: &self.specs,
                values: &values,
                members: &g.members,
                step: self.steps,
                lr,
            };
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
            let cx = UpdateContext {
                specs: &self.specs,
                values: &values,
                members: &g.members,
                step: self.steps,
                lr,
            };
            for t in &mut g.chain {
                t.update(&cx, f, &self.answer, &mut updates)?;
            }
        }
        drop(values);
        let scale = T::from_f64(-lr);
        for (update, spec) in updates.iter_mut().zip(&self.specs) {
            let Some(update) = update else { continue };
            scale_in_place(update, scale);
            if !map::all_finite(update.as_slice()) {
                return Err(EvalError::NonFiniteUpdate(spec.name.clone()));
            }
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
            let (specs, members, step) = (&self.specs, &g.members, self.steps);
            let cx = UpdateContext { specs, values, members, step, lr: 0.0 };
            g.chain.iter().flat_map(|t| t.report(&cx)).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of).collect()
    }

    /// All state, by name.
    pub fn save(&self, values: &[Array<T>]) -> StateDict<T> {
        let mut to = StateDict::default();
        to.numbers.insert("steps".into(), self.steps);
        for g in &self.groups {
            let cx =
                UpdateContext { specs: &self.specs, values, members: &g.members, step: self.steps, lr: 0.0 };
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
        self.steps = from.take_number("steps");
        for g in &mut self.groups {
            let cx =
                UpdateContext { specs: &self.specs, values, members: &g.members, step: self.steps, lr: 0.0 };
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

fn scale_in_place<T: Element>(a: &mut Array<T>, scale: T) {
    let mut out = Array::stale(a.pool(), a.shape());
    map::unary(out.make_mut(), a.as_slice(), |v| scale * v);
    *a = out;
}
