//! Batch normalization, the sum with a shortcut and the rectifier behind it become one step: fewer passes over memory.

use super::lowering::Lowering;
use super::step::{Apply, Id, Kind, Step};
use sph_autodiff::ops;
use std::collections::HashMap;

/// How often each value is read.
pub(crate) fn reads(steps: &[Step], kept: impl Iterator<Item = Id>) -> HashMap<Id, usize> {
    let mut reads = HashMap::new();
    let ids = steps.iter().flat_map(|s| s.inputs.iter().copied()).chain(kept);
    ids.for_each(|id| *reads.entry(id).or_default() += 1);
    reads
}

impl Lowering<'_> {
    /// Fuses what can be fused. Steps that are left without readers go away with [`Lowering::prune`].
    pub fn fuse(&mut self, output: Id, changed: &[(usize, Id)]) {
        let reads = reads(&self.steps, changed.iter().map(|c| c.1).chain([output]));
        let once = |id: Id| reads.get(&id) == Some(&1);
        for at in 0..self.steps.len() {
            if self.steps[at].kind != Kind::Relu {
                continue;
            }
            let before = self.steps[at].inputs[0];
            let norm_of = |low: &Self, id: Id| match low.step(id) {
                Some(Step { kind: Kind::BatchNorm { slot, eps }, inputs, layer, .. }) if once(id) => {
                    Some((*slot, *eps, inputs.clone(), layer.clone()))
                }
                _ => None,
            };
            let found = match self.step(before) {
                Some(Step { kind: Kind::Add, inputs, .. }) if once(before) && self.same_memory(inputs) => {
                    let (a, b) = (inputs[0], inputs[1]);
                    // The first of the two that is a norm, as the branch of a residual block is; the other is the shortcut.
                    let branch =
                        [(a, b), (b, a)].into_iter().filter_map(|(x, r)| Some((norm_of(self, x)?, x, r)));
                    branch.min_by_key(|(_, x, _)| *x).map(|(norm, _, shortcut)| (norm, Some(shortcut)))
                }
                _ => norm_of(self, before).map(|norm| (norm, None)),
            };
            let Some(((slot, eps, mut inputs, layer), shortcut)) = found else { continue };
            inputs.extend(shortcut);
            let step = &mut self.steps[at];
            (step.inputs, step.layer, step.kind) = (inputs, layer, Kind::Other);
            step.action = match slot {
                Some(slot) => Box::new(Apply(move |p: &super::step::Pass<'_>| {
                    ops::batch_norm(p.moments(slot), eps).relu()
                })),
                None => Box::new(Apply(move |_: &super::step::Pass<'_>| {
                    ops::batch_norm(ops::Moments::Batch { slot: None }, eps).relu()
                })),
            };
        }
    }

    /// Whether the operands of a sum are values of one shape: then nothing is expanded.
    fn same_memory(&self, inputs: &[Id]) -> bool {
        match inputs {
            [Id::Value(a), Id::Value(b)] => self.values[*a].0 == self.values[*b].0,
            _ => false,
        }
    }

    /// Takes away the steps that nothing reads, and numbers values by the steps that are left.
    pub fn prune(&mut self, output: &mut Id, changed: &mut [(usize, Id)]) {
        let mut needed = vec![false; self.values.len()];
        let need = |id: &Id, needed: &mut Vec<bool>| {
            if let Id::Value(v) = id {
                needed[*v] = true;
            }
        };
        changed.iter().map(|c| &c.1).chain([&*output]).for_each(|id| need(id, &mut needed));
        for step in self.steps.iter().rev() {
            if needed[step.output] {
                step.inputs.iter().for_each(|id| need(id, &mut needed));
            }
        }
        self.steps.retain(|step| needed[step.output]);
        let mut number: Vec<usize> = (0..self.values.len()).collect();
        let mut values: Vec<_> = self.values[..self.inputs.len()].to_vec();
        for (at, step) in self.steps.iter_mut().enumerate() {
            number[step.output] = values.len();
            values.push((std::mem::take(&mut self.values[step.output].0), Some(at)));
            step.output = number[step.output];
            for id in &mut step.inputs {
                if let Id::Value(v) = id {
                    *v = number[*v];
                }
            }
        }
        self.values = values;
        for id in changed.iter_mut().map(|c| &mut c.1).chain([output]) {
            if let Id::Value(v) = id {
                *v = number[*v];
            }
        }
    }
}
