//! Layers that no norm follows get magnitudes and directions in place of weights (docs/algorithm.md §1.2).

use super::error::ImportError;
use super::lowering::Lowering;
use super::roles::readers;
use super::size::Size;
use super::step::{Apply, Id, Kind, Pass, Step};
use crate::{Init, Role};
use sph_autodiff::ops;
use std::collections::HashMap;

impl Lowering<'_> {
    /// Decouples the layers whose weights are a parameter that nothing else reads and whose output not norms alone read.
    ///
    /// # Errors
    /// Naming a layer of which a row of weights is zero: it has no direction.
    pub fn decouple(&mut self, output: Id) -> Result<(), ImportError> {
        let readers = readers(&self.steps);
        let mut chosen = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            let (Kind::Weighted { by_output: true }, [_, Id::Param(w), ..]) = (step.kind, &step.inputs[..])
            else {
                continue;
            };
            let alone = readers[&Id::Param(*w)].len() == 1 && self.builder.params[*w].0.aliases.is_empty();
            if alone && !self.followed_by_norms(Id::Value(step.output), output, &readers) {
                chosen.push((at, *w));
            }
        }
        // Weights come first: they depend on parameters alone.
        let mut made = Vec::new();
        for (at, w) in &chosen {
            if let Some(row) = self.zero_row(*w) {
                let layer = &self.steps[*at].layer;
                return Err(ImportError::Network(format!(
                    "layer '{layer}' cannot be decoupled: row {row} of its weights is zero"
                )));
            }
            let gamma = self.split(*w, &self.steps[*at].inputs.clone());
            let output = self.values.len();
            let memory = self.builder.params[*w].0.shape.iter().map(|n| Size::fixed(*n)).collect();
            self.values.push((memory, None));
            let action = Box::new(Apply(|_: &Pass<'_>| ops::weight_norm()));
            let (layer, inputs) = (self.steps[*at].layer.clone(), vec![Id::Param(*w), Id::Param(gamma)]);
            made.push(Step { layer, kind: Kind::Other, inputs, output, action });
            self.steps[*at].inputs[1] = Id::Value(output);
        }
        self.steps.splice(0..0, made);
        for (at, step) in self.steps.iter().enumerate() {
            self.values[step.output].1 = Some(at);
        }
        Ok(())
    }

    /// The first row of a parameter's values in the file that is zero.
    fn zero_row(&self, w: usize) -> Option<usize> {
        let (spec, init) = &self.builder.params[w];
        let Init::Given(tensor) = init else { return None };
        let width = spec.len() / spec.shape[0];
        tensor.to_f64().chunks_exact(width).position(|row| row.iter().all(|v| *v == 0.0))
    }

    /// Makes parameter `w` the directions of a layer, and returns the number of its magnitudes.
    fn split(&mut self, w: usize, inputs: &[Id]) -> usize {
        let spec = &mut self.builder.params[w].0;
        let plain = std::mem::take(&mut spec.name);
        spec.name = format!("{plain}_v");
        spec.role = Role::Direction;
        spec.bias = None;
        let (head, frozen, rank, out) = (spec.head, spec.frozen_by_default, spec.shape.len(), spec.shape[0]);
        let shape: Vec<usize> = (0..rank).map(|i| if i == 0 { out } else { 1 }).collect();
        let gamma =
            self.builder.param(format!("{plain}_g"), &shape, Role::Magnitude, Init::RowNorms { of: w });
        let made = &mut self.builder.params[gamma].0;
        (made.head, made.frozen_by_default) = (head, frozen);
        if let Some(Id::Param(bias)) = inputs.get(2) {
            self.builder.mark_decoupled(*bias);
        }
        gamma
    }

    /// Whether every reader of a value is a norm, however the value is moved about on the way.
    fn followed_by_norms(&self, id: Id, output: Id, readers: &HashMap<Id, Vec<usize>>) -> bool {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if id == output {
                return false;
            }
            for step in readers.get(&id).into_iter().flatten().map(|at| &self.steps[*at]) {
                match step.kind {
                    Kind::Moved => open.push(Id::Value(step.output)),
                    Kind::BatchNorm { .. } | Kind::Norm if step.inputs[0] == id => (),
                    _ => return false,
                }
            }
        }
        true
    }
}
