//! Networks from PyTorch's exported graphs.
//!
//! [`import`] turns the plain data of a `.pt2` archive ([`sph_pt2::Program`]) into a [`Network`] like any other. What happens on the way:
//!
//! | file | what |
//! |---|---|
//! | `aten/` | PyTorch's operations, a row each, by family |
//! | `call`, `arguments` | arguments by name, with PyTorch's defaults, and as values |
//! | `inputs` | parameters, buffers, what the caller gives |
//! | `lowering` | the graph, operation by operation: names, memory, writes in place |
//! | `view` | views, and writing through them |
//! | `constant`, `size` | what is known beforehand; extents that are multiples of the batch size |
//! | `layout` | the order of axes in memory, chosen so that few permutations are left |
//! | `roles` | what parameters are, by what operations do with them |
//! | `decouple`, `fuse` | magnitudes and directions; batch normalization with what follows it in one step |
//! | `step`, `action` | what is left: steps, and how they run |
//!
//! Training and evaluation follow [`Mode`](crate::Mode), whatever the file says: batch normalization, dropout and stochastic depth do what
//! they do there.

mod action;
mod arguments;
mod aten;
mod call;
mod constant;
mod decouple;
mod error;
mod fuse;
mod inputs;
mod layout;
mod lowering;
mod roles;
mod size;
mod step;
mod view;

pub use error::{ImportError, Unsupported};

use crate::{Network, Role};
use lowering::{Lowering, Value};
use sph_pt2::{Argument, OutputKind, Program};
use sph_tensor::Shape;
use step::{GraphModel, Id, Kind};

/// The names of the operations that graphs may have; with an underscore behind the name (`aten.relu_.default`) they write in place.
pub fn operations() -> impl Iterator<Item = &'static str> {
    aten::names()
}

/// An input of an imported network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputInfo {
    /// The name of the argument of the module's `forward`.
    pub name: String,
    /// PyTorch's extents of one sample, without the batch.
    pub shape: Vec<usize>,
    /// It holds whole numbers: tokens, or classes.
    pub integer: bool,
}

/// A network that was read from a file, with its values.
pub struct Imported {
    /// The network; the file's values are its initial ones.
    pub network: Network,
    /// What it reads, in order. Images (four axes) are expected channels last, everything else as PyTorch has it.
    pub inputs: Vec<InputInfo>,
    /// PyTorch's extents of what it gives for one sample, without the batch; `None` where it gives a single number for the whole batch, its
    /// loss.
    pub output: Option<Vec<usize>>,
    /// The only batch size that it takes; `None` for any.
    pub batch: Option<usize>,
    /// Numbers in all values that it makes of one sample on the way, those that depend on no sample among them.
    pub values: usize,
    /// A norm is among its layers.
    pub norms: bool,
    /// It works on tokens: attention is among its layers, or norms of rows alone.
    pub tokens: bool,
    /// What is assumed or left out, a line each.
    pub notes: Vec<String>,
}

/// Builds a network from a graph; with `decouple` the layers that no norm follows get magnitudes and directions.
///
/// # Errors
/// Naming all operations that are not known, or the first one that cannot be had as it stands, with its layer.
pub fn import(program: &Program, decouple: bool) -> Result<Imported, ImportError> {
    let mut low = Lowering::new(program)?;
    let output = output(&mut low)?;
    let mut id = output.id;
    low.finish_roles(id);
    let mut changed = buffers(&mut low)?;
    if decouple {
        low.decouple(id)?;
    }
    low.prune(&mut id, &mut changed);
    let has = |kind: fn(&Kind) -> bool| low.steps.iter().any(|s| kind(&s.kind));
    let batch_norms = has(|k| matches!(k, Kind::BatchNorm { slot: Some(_), .. }));
    let norms = batch_norms || low.builder.params.iter().any(|(spec, _)| spec.role == Role::NormScale);
    let tokens = has(|k| *k == Kind::Attention) || low.rows && !batch_norms;
    low.fuse(id, &changed);
    low.prune(&mut id, &mut changed);
    let fail = |reason: String| Err(ImportError::Network(reason));
    let per_sample = match &output.shape[..] {
        [] => None,
        [first, rest @ ..] => {
            let known: Option<Vec<usize>> = rest.iter().map(|s| s.known()).collect();
            let whole = *first == size::Size::BATCH || first.known() == low.batch && first.times > 0;
            match known.filter(|_| whole) {
                Some(rest) => Some(rest),
                None => {
                    return fail(format!(
                        "the network's output is {}, and not one row for each sample",
                        size::shown(&output.shape)
                    ));
                }
            }
        }
    };
    let inputs = low.inputs.iter().zip(&low.integers).map(|(input, integer)| {
        let meta = low.program.values.get(&input.name);
        let rank = meta.map_or(0, |m| m.sizes.len());
        // Images lie channels last.
        let mut shape: Vec<usize> = input.sizes[1..].iter().map(|s| s.times).collect();
        if rank == 4 && !integer {
            shape.rotate_right(1);
        }
        InputInfo { name: input.name.clone(), shape, integer: *integer }
    });
    let inputs: Vec<InputInfo> = inputs.collect();
    let mut dead: Vec<Vec<usize>> = vec![Vec::new(); low.steps.len()];
    let values = low.inputs.len() + low.steps.len();
    let mut last: Vec<Option<usize>> = vec![None; values];
    for (at, step) in low.steps.iter().enumerate() {
        last[step.output] = Some(at);
        for id in &step.inputs {
            if let Id::Value(v) = id {
                last[*v] = Some(at);
            }
        }
    }
    let kept = |v: usize| Id::Value(v) == id || changed.iter().any(|(_, c)| *c == Id::Value(v));
    for (value, at) in last.into_iter().enumerate().filter(|(v, _)| !kept(*v)) {
        if let Some(at) = at {
            dead[at].push(value);
        }
    }
    let Lowering { builder, steps, inputs: read, batch, mut notes, evaluates, .. } = low;
    if let Some(n) = batch {
        notes.push(format!(
            "the file was exported for batches of {n} alone; dynamic_shapes=({{0: torch.export.Dim('b', min=2, max=4096)}},) exports it for any"
        ));
    }
    if evaluates {
        notes.push(
            "the file was exported in evaluation mode, which leaves out stochastic depth and dropout in attention; net.train() before the \
             export keeps them"
                .into(),
        );
    }
    let model = GraphModel { inputs: read, steps, dead, output: id, values, batch, changed };
    // Shapes are checked now, so that what does not fit is found before anything runs.
    let shapes: Vec<Shape> = builder.params.iter().map(|(s, _)| Shape::new(&s.shape)).collect();
    let samples = batch.unwrap_or(2);
    let made = model.shapes(&shapes, samples).map_err(|e| ImportError::Network(e.to_string()))?;
    let values = made.iter().fold(0usize, |n, shape| n.saturating_add(shape.len())) / samples;
    let network = builder.finish(Box::new(model));
    Ok(Imported { network, inputs, output: per_sample, batch, values, norms, tokens, notes })
}

/// The output of the graph, as rows that lie as PyTorch has them.
fn output(low: &mut Lowering<'_>) -> Result<layout::Tensor, ImportError> {
    let fail = |reason: &str| ImportError::Network(reason.to_string());
    let mut given = low.program.outputs.iter().filter(|o| !matches!(o.kind, OutputKind::Buffer(_)));
    let (first, more) = (given.next(), given.next());
    if more.is_some() {
        return Err(fail("the network gives several outputs; export a module that returns its logits alone"));
    }
    let Some(Argument::Tensor(name)) = first.map(|o| &o.value) else {
        return Err(fail("the network gives no tensor"));
    };
    let value = low.value_of(name).map_err(ImportError::Network)?;
    let Value::Tensor(x) = value else {
        return Err(fail("the network's output does not depend on its input"));
    };
    low.standard(&x).map_err(ImportError::Network)
}

/// The slots of the buffers that the graph changes, and their new values.
fn buffers(low: &mut Lowering<'_>) -> Result<Vec<(usize, Id)>, ImportError> {
    let mut changed = Vec::new();
    for (name, value) in low.written_buffers().map_err(ImportError::Network)? {
        let fail =
            |reason: &str| ImportError::Network(format!("the network changes buffer '{name}'{reason}"));
        let buffer = low.buffers.get(&name).copied();
        let buffer = buffer.ok_or_else(|| fail(", which it is built from: that is not supported"))?;
        let value = low.as_tensor(&value).and_then(|x| low.standard(&x)).map_err(ImportError::Network)?;
        let size: Vec<size::Size> =
            low.builder.buffers[buffer].shape.iter().map(|n| size::Size::fixed(*n)).collect();
        if value.shape != size {
            return Err(fail(" to another shape"));
        }
        changed.push((low.builder.changing(buffer), value.id));
    }
    Ok(changed)
}
