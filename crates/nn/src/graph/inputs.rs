//! What a graph reads: parameters, buffers, constants, and what the caller gives; and the buffers that it changes.

use super::action::Stored;
use super::arguments::literal;
use super::aten;
use super::constant::{Constant, Kind as Numbers};
use super::error::{ImportError, Result};
use super::layout::Tensor;
use super::lowering::{Lowering, Source, Value};
use super::size::Size;
use super::step::{Id, Kind, NetworkInput};
use crate::statistics::StatisticsSlot;
use crate::{BufferKind, Init, Role};
use sph_pt2::{Argument, Dtype, Extent, InputKind, OutputKind};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

impl<'a> Lowering<'a> {
    /// Takes in everything that the graph reads.
    ///
    /// # Errors
    /// When an input is not what a network can have.
    pub fn read_inputs(&mut self) -> std::result::Result<(), ImportError> {
        let program = self.program;
        // Inputs are the first values.
        for input in program.inputs.iter().filter(|i| i.kind == InputKind::User) {
            self.user_input(&input.name)?;
        }
        let open = self.inputs.iter().any(|input| input.sizes[0] == Size::BATCH);
        if let Some(fixed) = self.inputs.iter().find(|input| open && input.sizes[0] != Size::BATCH) {
            let name = &fixed.name;
            return Err(ImportError::Network(format!(
                "input '{name}' has {} entries along axis 0, whatever the batch; every input must have one for each sample",
                fixed.sizes[0]
            )));
        }
        let mut params: Vec<(&sph_pt2::Tensor, usize)> = Vec::new();
        let (statistics, written) = (self.statistics(), self.written());
        let modules = program.nodes.iter().flat_map(|n| &n.modules);
        let classes: HashMap<&str, &str> = modules.map(|m| (&*m.path, &*m.class)).collect();
        for input in &program.inputs {
            let tensor = |name: &str| {
                program
                    .tensors
                    .get(name)
                    .ok_or_else(|| ImportError::Network(format!("tensor '{name}' is missing")))
            };
            match &input.kind {
                InputKind::Parameter(name) => {
                    let tensor = tensor(name)?;
                    let number = match params.iter().find(|(t, _)| t.same_as(tensor)) {
                        Some((_, number)) => {
                            self.builder.params[*number].0.aliases.push(name.clone());
                            *number
                        }
                        None => {
                            finite(name, tensor)?;
                            let init = Init::Given(tensor.clone());
                            let number = self.builder.param(name.clone(), &tensor.shape, Role::Weight, init);
                            self.builder.params[number].0.frozen_by_default = !tensor.requires_grad;
                            self.builder.params[number].0.class = classes
                                .get(name.rsplit_once('.').map_or("", |(path, _)| path))
                                .map_or(String::new(), |c| c.to_string());
                            params.push((tensor, number));
                            number
                        }
                    };
                    let shape = tensor.shape.iter().map(|n| Size::fixed(*n)).collect();
                    let value = Value::Tensor(Tensor::standard(Id::Param(number), shape));
                    self.bind(&input.name, value, Source::Parameter(number));
                }
                InputKind::Buffer { name, persistent } => {
                    let value = constant(name, tensor(name)?)?;
                    let written = written.contains(&*input.name);
                    let kept = (*persistent || written) && !statistics.contains(&*input.name);
                    let value = self.buffer_value(name, value, kept, written);
                    self.bind(&input.name, value, Source::Buffer(name.clone()));
                }
                InputKind::Constant(name) => {
                    let value = constant(name, tensor(name)?)?;
                    self.bind(&input.name, value.into(), Source::Made);
                }
                InputKind::User => (),
                // What is no number can only be an argument that nothing reads.
                InputKind::Literal(argument) => {
                    if let Some(value) = literal(argument) {
                        self.bind(&input.name, value.into(), Source::Made);
                    }
                }
            }
        }
        match self.inputs.is_empty() {
            true => Err(ImportError::Network("the network has no input".into())),
            false => Ok(()),
        }
    }

    /// The buffers that hold running statistics and counts of batches, by their names in the graph. Norms register them.
    fn statistics(&self) -> BTreeSet<&'a str> {
        let norms = self.program.nodes.iter().filter(|n| n.target.contains("batch_norm"));
        let running = norms.flat_map(|n| &n.arguments).filter(|(name, _)| name.starts_with("running_"));
        let mut found: BTreeSet<&str> = running
            .filter_map(|(_, a)| match a {
                Argument::Tensor(name) => Some(&**name),
                _ => None,
            })
            .collect();
        for input in &self.program.inputs {
            if let InputKind::Buffer { name, .. } = &input.kind
                && name.ends_with("num_batches_tracked")
            {
                found.insert(&input.name);
            }
        }
        found
    }

    /// The values that operations write into, by their names in the graph.
    fn written(&self) -> BTreeSet<&'a str> {
        let functional = self.program.outputs.iter().filter_map(|o| match &o.kind {
            OutputKind::Buffer(name) => Some(&**name),
            _ => None,
        });
        let functional: BTreeSet<&str> = functional.collect();
        let buffers = self.program.inputs.iter().filter(|i| match &i.kind {
            InputKind::Buffer { name, .. } => functional.contains(&**name),
            _ => false,
        });
        let in_place = self.program.nodes.iter().filter(|n| matches!(aten::find(&n.target), Some((_, true))));
        let first = in_place.filter_map(|n| match n.arguments.first() {
            Some((_, Argument::Tensor(name))) => Some(&**name),
            _ => None,
        });
        first.chain(buffers.map(|i| &*i.name)).collect()
    }

    /// The value of a buffer. One that is `kept` is part of the network's state. Whole numbers and masks that nothing writes into are known at
    /// once, since the network is built from them; others when it runs.
    fn buffer_value(&mut self, name: &str, value: Constant, kept: bool, written: bool) -> Value {
        if !kept {
            return value.into();
        }
        let kind = match value.kind {
            Numbers::Float => BufferKind::Real,
            Numbers::Int => BufferKind::Whole,
            Numbers::Bool => BufferKind::Bool,
        };
        let buffer =
            self.builder.buffer(name.to_string(), &value.shape, kind, value.values.as_slice().into());
        if kind != BufferKind::Real && !written {
            self.builder.buffers[buffer].fixed = true;
            return value.into();
        }
        let sizes: Vec<Size> = value.shape.iter().map(|n| Size::fixed(*n)).collect();
        self.buffers.insert(name.to_string(), buffer);
        let action = Stored { buffer, shape: value.shape };
        let id = self.emit(Kind::Source, Vec::new(), sizes.clone(), Box::new(action));
        Value::Tensor(Tensor::standard(id, sizes))
    }

    fn user_input(&mut self, name: &str) -> std::result::Result<(), ImportError> {
        let fail = |reason: String| ImportError::Network(format!("input '{name}' {reason}"));
        let meta = self.program.values.get(name).ok_or_else(|| fail("is no tensor".into()))?;
        let mut shape = Vec::new();
        for (axis, extent) in meta.sizes.iter().enumerate() {
            let fixed = |n: i64| usize::try_from(n).ok().filter(|n| (1..1 << 31).contains(n));
            let size = match extent {
                Extent::Symbolic { .. } if axis == 0 => Some(Size::BATCH),
                Extent::Symbolic { example, .. } => {
                    let size = example.and_then(fixed);
                    if let Some(n) = size {
                        self.notes.push(format!("axis {axis} of input '{name}' is taken to have {n} entries always, as in the example it was exported with"));
                    }
                    size.map(Size::fixed)
                }
                Extent::Fixed(n) => {
                    let n = fixed(*n);
                    if axis == 0 && self.batch.is_none() {
                        self.batch = n;
                    }
                    n.map(Size::fixed)
                }
            };
            shape.push(size.ok_or_else(|| fail(format!("has {extent:?} entries along axis {axis}")))?);
        }
        if shape.is_empty() {
            return Err(fail("is a single number: there is no batch".into()));
        }
        let integer = matches!(meta.dtype, Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8);
        let real = matches!(meta.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
        if !integer && !real {
            return Err(fail(format!("has elements of type {:?}", meta.dtype)));
        }
        // Images come as rows of pixels, channels last.
        let order = if shape.len() == 4 && real { vec![0, 2, 3, 1] } else { (0..shape.len()).collect() };
        let tensor = Tensor { id: Id::Value(self.inputs.len()), shape, order };
        self.inputs.push(NetworkInput { name: name.to_string(), sizes: tensor.memory() });
        self.values.push((tensor.memory(), None));
        self.integers.push(integer);
        self.bind(name, Value::Tensor(tensor), Source::Input);
        Ok(())
    }

    /// The buffers that the graph writes into, or gives new values of, and these.
    pub fn written_buffers(&mut self) -> Result<Vec<(String, Value)>> {
        let mut found: Vec<(String, Value)> = Vec::new();
        for storage in self.storages.iter().filter(|s| s.version > 0) {
            if let Source::Buffer(name) = &storage.source {
                found.push((name.clone(), storage.value.clone()));
            }
        }
        for output in &self.program.outputs {
            let (OutputKind::Buffer(name), Argument::Tensor(value)) = (&output.kind, &output.value) else {
                continue;
            };
            if !self.counted(name) {
                found.push((name.clone(), self.value_of(value)?));
            }
        }
        found.retain(|(name, _)| !self.counted(name));
        Ok(found)
    }

    /// Whether norms move a buffer by themselves: running statistics, and counts of batches.
    fn counted(&self, name: &str) -> bool {
        self.moved.contains(name) || name.ends_with("num_batches_tracked")
    }

    /// The slot of running statistics in these buffers, which belong to the norm with these parameters.
    ///
    /// # Errors
    /// When the buffers are not one number per channel.
    pub fn running(
        &mut self,
        mean: &str,
        var: &str,
        channels: usize,
        momentum: f64,
        params: &[&Tensor],
    ) -> Result<StatisticsSlot> {
        if let Some(slot) = self.slots.get(mean) {
            return Ok(*slot);
        }
        let program = self.program;
        let values = |name: &str| -> Result<Arc<[f64]>> {
            let tensor = program.tensors.get(name).ok_or_else(|| format!("buffer '{name}' is missing"))?;
            let values = tensor.to_f64();
            match tensor.shape[..] == [channels] && values.iter().all(|v| v.is_finite()) {
                true => Ok(values.into()),
                false => Err(format!(
                    "buffer '{name}' does not have a finite number for each of {channels} channels"
                )),
            }
        };
        let (means, variances) = (values(mean)?, values(var)?);
        let prefix = mean.strip_suffix("running_mean").unwrap_or("");
        let count = format!("{prefix}num_batches_tracked");
        let batches = program.tensors.get(&count).and_then(|t| t.to_f64().first().copied());
        let params = params.iter().filter_map(|x| match self.origin(x.id) {
            Id::Param(p) => Some(p),
            Id::Value(_) => None,
        });
        let params = params.collect();
        let slot = self.builder.given_statistics(
            (mean.to_string(), means),
            (var.to_string(), variances),
            batches.map(|n| (count.clone(), n)),
            momentum,
            params,
        );
        self.slots.insert(mean.to_string(), slot);
        self.moved.extend([mean.to_string(), var.to_string(), count]);
        Ok(slot)
    }
}

fn constant(name: &str, tensor: &sph_pt2::Tensor) -> std::result::Result<Constant, ImportError> {
    let kind = Numbers::of(tensor.dtype).ok_or_else(|| {
        ImportError::Network(format!("tensor '{name}' has elements of type {:?}", tensor.dtype))
    })?;
    Ok(Constant { kind, shape: tensor.shape.clone(), values: tensor.to_f64() })
}

/// That a tensor can be a parameter.
fn finite(name: &str, tensor: &sph_pt2::Tensor) -> std::result::Result<(), ImportError> {
    let fail = |reason: String| Err(ImportError::Network(format!("parameter '{name}' {reason}")));
    if Numbers::of(tensor.dtype) != Some(Numbers::Float) {
        return fail(format!("has elements of type {:?}", tensor.dtype));
    }
    if tensor.shape.len() > 6 || tensor.shape.contains(&0) {
        return fail(format!("has shape {:?}", tensor.shape));
    }
    match tensor.to_f64().iter().find(|v| !v.is_finite()) {
        Some(v) => fail(format!("has the value {v}")),
        None => Ok(()),
    }
}
