//! The roles of parameters, by what operations do with them (docs/algorithm.md §1), whatever their modules are called.

use super::layout::Tensor;
use super::lowering::Lowering;
use super::size::Size;
use super::step::{Id, Kind, Step};
use crate::Role;
use std::collections::HashMap;

/// How far back from a factor a value is looked for of which it is a statistic.
const REACH: usize = 64;

/// At most one axis has more than one entry.
fn is_row(x: &Tensor) -> bool {
    x.shape.iter().filter(|s| **s != Size::ONE).count() <= 1
}

/// The steps that read each value.
pub(crate) fn readers(steps: &[Step]) -> HashMap<Id, Vec<usize>> {
    let mut readers: HashMap<Id, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        step.inputs.iter().for_each(|id| readers.entry(*id).or_default().push(at));
    }
    readers
}

impl Lowering<'_> {
    /// Gives parameters that a value is made of a role; the first one that is told stays.
    pub fn mark(&mut self, id: Id, role: Role) {
        match self.origin(id) {
            Id::Param(p) => {
                self.roles.entry(p).or_insert(role);
            }
            // Weights that are computed from parameters: one number per channel is a magnitude, the rest what it is used as.
            other => {
                for p in self.made_of(other).unwrap_or_default() {
                    let shape = &self.builder.params[p].0.shape;
                    let row = shape.iter().filter(|n| **n > 1).count() <= 1;
                    let role = if row && role == Role::Weight { Role::Magnitude } else { role };
                    self.roles.entry(p).or_insert(role);
                }
            }
        }
    }

    /// The parameters that a value is computed from, if from nothing else.
    fn made_of(&self, id: Id) -> Option<Vec<usize>> {
        let (mut open, mut found) = (vec![id], Vec::new());
        let mut steps = 0;
        while let Some(id) = open.pop() {
            steps += 1;
            match id {
                Id::Param(p) => found.push(p),
                Id::Value(_) => {
                    let step = self.step(id).filter(|_| steps < REACH)?;
                    open.extend(step.inputs.iter().copied());
                }
            }
        }
        Some(found)
    }

    fn is(&self, set: &std::collections::BTreeSet<usize>, id: Id) -> bool {
        matches!(self.origin(id), Id::Value(v) if set.contains(&v))
    }

    /// y = a·b, or a/b: a factor with one number per channel is a norm's scale, or a magnitude; a factor that is a statistic of the other
    /// operand makes y normalized.
    pub fn note_product(&mut self, a: &Tensor, b: &Tensor, y: &Tensor) {
        let Id::Value(out) = y.id else { return };
        for (x, w) in [(a, b), (b, a)] {
            match self.origin(w.id) {
                Id::Param(p) if is_row(w) => {
                    let normalized = self.is(&self.normalized, x.id);
                    let role = if normalized { Role::NormScale } else { Role::Magnitude };
                    self.roles.entry(p).or_insert(role);
                    if normalized {
                        self.scaled.insert(out);
                    }
                }
                Id::Param(p) => {
                    self.roles.entry(p).or_insert(Role::Weight);
                }
                Id::Value(_) if self.is_statistic(w, x) => {
                    self.normalized.insert(out);
                }
                Id::Value(_) => (),
            }
        }
    }

    /// y = a + b: one number per channel behind a norm is its shift, elsewhere a bias; what differs along several axes is an embedding.
    pub fn note_sum(&mut self, a: &Tensor, b: &Tensor) {
        for (x, w) in [(a, b), (b, a)] {
            let Id::Param(p) = self.origin(w.id) else { continue };
            let role = match is_row(w) {
                true if self.is(&self.scaled, x.id) || self.is(&self.normalized, x.id) => Role::NormShift,
                true => Role::Bias,
                false => Role::Embedding,
            };
            self.roles.entry(p).or_insert(role);
        }
    }

    /// Whether w is a mean of something made of x alone, along an axis of x.
    fn is_statistic(&self, w: &Tensor, x: &Tensor) -> bool {
        let rank = x.shape.len();
        let reduces = w.shape.len() <= rank
            && (0..rank).any(|a| {
                let own = (a + w.shape.len()).checked_sub(rank).map_or(Size::ONE, |a| w.shape[a]);
                own == Size::ONE && x.shape[a] != Size::ONE
            });
        let (mut open, mut met) = (vec![w.id], false);
        for _ in 0..REACH {
            let Some(id) = open.pop() else { return reduces && met };
            if id == x.id || self.origin(id) == self.origin(x.id) {
                met = true;
                continue;
            }
            let Some(step) = self.step(id) else { return false };
            match step.kind {
                Kind::Pointwise
                | Kind::Scaled
                | Kind::Reduction
                | Kind::Add
                | Kind::Multiply
                | Kind::Moved => {
                    open.extend(step.inputs.iter().copied());
                }
                Kind::Source => (),
                _ => return false,
            }
        }
        false
    }

    /// The bias of the layer that makes these keys adds the same to all scores of a query, which softmax does not feel.
    pub fn note_keys(&mut self, keys: Id) {
        let mut id = keys;
        // A factor does not matter.
        while let Some(step) = self.step(id) {
            match (step.kind, &step.inputs[..]) {
                (Kind::Moved | Kind::Scaled, [x]) => id = *x,
                (Kind::Weighted { .. }, [_, _, bias]) => {
                    if let Id::Param(p) = self.origin(*bias) {
                        self.flat.insert(p);
                    }
                    return;
                }
                _ => return,
            }
        }
    }

    /// Finds the keys of scores, on the way from their softmax back to the product.
    pub fn note_scores(&mut self, scores: &Tensor) {
        let mut open = vec![scores.id];
        for _ in 0..REACH {
            let Some(id) = open.pop() else { return };
            let Some(step) = self.step(id) else { continue };
            match step.kind {
                Kind::Moved | Kind::Scaled | Kind::Add => open.extend(step.inputs.iter().copied()),
                Kind::Product => {
                    let keys = step.inputs[1];
                    self.note_keys(keys);
                }
                _ => (),
            }
        }
    }

    /// A bias whose layer is followed by norms that take means off again has no curvature, and none that is not one of a layer has a role
    /// by then.
    pub fn finish_roles(&mut self, output: Id) {
        self.flat_biases();
        self.mark_head(output);
        for (p, (spec, _)) in self.builder.params.iter_mut().enumerate() {
            let row = spec.shape.iter().filter(|n| **n > 1).count() <= 1;
            spec.role = match self.roles.get(&p) {
                Some(role) => *role,
                None if row && spec.shape.len() <= 1 => Role::Bias,
                None => Role::Embedding,
            };
            spec.flat = self.flat.contains(&p) && spec.role == Role::Bias;
        }
        for step in self.steps.iter().filter(|s| matches!(s.kind, Kind::Weighted { .. })) {
            if let [_, Id::Param(w), Id::Param(b)] = step.inputs[..] {
                self.builder.params[w].0.bias = Some(b);
            }
        }
    }

    fn flat_biases(&mut self) {
        let readers = readers(&self.steps);
        let mut flat = Vec::new();
        for step in &self.steps {
            let (Kind::Weighted { .. }, [_, _, Id::Param(bias)]) = (step.kind, &step.inputs[..]) else {
                continue;
            };
            let mut open = vec![Id::Value(step.output)];
            let mut normalized = true;
            let mut read = false;
            while let Some(id) = open.pop() {
                for reader in readers.get(&id).into_iter().flatten() {
                    read = true;
                    let reader = &self.steps[*reader];
                    match reader.kind {
                        Kind::Moved => open.push(Id::Value(reader.output)),
                        Kind::BatchNorm { .. } if reader.inputs[0] == id => (),
                        _ => normalized = false,
                    }
                }
            }
            if normalized && read {
                flat.push(*bias);
            }
        }
        self.flat.extend(flat);
    }

    /// The head: the last layer with weights on the way to the output.
    fn mark_head(&mut self, output: Id) {
        let mut id = output;
        let mut head = Vec::new();
        for _ in 0..REACH {
            let Some(step) = self.step(id) else { break };
            match (step.kind, &step.inputs[..]) {
                (Kind::Weighted { .. }, inputs) => {
                    let params = inputs[1..].iter().flat_map(|i| self.made_of(*i).unwrap_or_default());
                    head.extend(params);
                    break;
                }
                (Kind::Add, [a, b]) => match (self.origin(*a), self.origin(*b)) {
                    (Id::Param(p), _) => {
                        head.push(p);
                        id = *b;
                    }
                    (_, Id::Param(p)) => {
                        head.push(p);
                        id = *a;
                    }
                    _ => break,
                },
                (Kind::Moved | Kind::Scaled | Kind::Pointwise | Kind::Reduction | Kind::Softmax, [x]) => {
                    id = *x
                }
                (Kind::Other, [x, w]) => {
                    // A product with weights that lie the other way round.
                    let params = self.made_of(*w);
                    match params {
                        Some(params) => {
                            head.extend(params);
                            break;
                        }
                        None => id = *x,
                    }
                }
                _ => break,
            }
        }
        head.into_iter().for_each(|p| self.builder.mark_head(p));
    }
}
