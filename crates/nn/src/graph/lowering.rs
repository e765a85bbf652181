//! From PyTorch's graph to steps.

use super::aten::{self, Lower};
use super::call::Call;
use super::constant::{Constant, Kind as Numbers};
use super::error::{ImportError, Result, Unsupported};
use super::layout::{Tensor, joined};
use super::size::{Size, elements};
use super::step::{Action, Apply, Id, Kind, Known, NetworkInput, Pass, Step, Stored, Trained};
use super::view::View;
use crate::statistics::StatisticsSlot;
use crate::{BufferKind, Builder, Init, Role};
use sph_autodiff::Op;
use sph_pt2::{Argument, Dtype, Extent, InputKind, Node, OutputKind, Program};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// What a name of the graph stands for.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Something computed when the network runs.
    Tensor(Tensor),
    /// Something known now.
    Constant(Rc<Constant>),
    /// A whole number that may depend on the batch size.
    Size(Size),
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Self {
        Value::Constant(Rc::new(constant))
    }
}

impl Value {
    /// The constant, where it is one.
    pub fn constant(&self) -> Option<&Constant> {
        match self {
            Value::Constant(c) => Some(c),
            _ => None,
        }
    }

    /// PyTorch's extents.
    pub fn shape(&self) -> Vec<Size> {
        match self {
            Value::Tensor(x) => x.shape.clone(),
            Value::Constant(c) => c.shape.iter().map(|n| Size::fixed(*n)).collect(),
            Value::Size(_) => Vec::new(),
        }
    }
}

/// Where memory comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    Parameter(usize),
    Buffer(String),
    Input,
    Made,
}

/// Memory that several names may look at.
struct Storage {
    value: Value,
    /// How often it was written.
    version: u64,
    source: Source,
}

/// A name of the graph: memory, and how it is seen.
struct Binding {
    storage: usize,
    views: Vec<View>,
    /// What was read last, and of which version.
    read: Option<(u64, Value)>,
}

/// A network under construction.
pub(crate) struct Lowering<'a> {
    pub program: &'a Program,
    pub builder: Builder,
    pub steps: Vec<Step>,
    /// By number: the extents of a value as it lies in memory, and the step that makes it; `None` for an input.
    pub values: Vec<(Vec<Size>, Option<usize>)>,
    pub inputs: Vec<NetworkInput>,
    /// Which inputs hold whole numbers.
    pub integers: Vec<bool>,
    /// The only batch size, where the file does not know a symbol for it.
    pub batch: Option<usize>,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
    /// Values that are normalized and not scaled since.
    pub normalized: BTreeSet<usize>,
    /// Normalized values behind their scale.
    pub scaled: BTreeSet<usize>,
    /// Slots of running statistics by the name of the buffer of means.
    pub slots: HashMap<String, StatisticsSlot>,
    /// Buffers that steps of ours move.
    pub moved: BTreeSet<String>,
    /// Buffers that are read when the network runs, and their numbers.
    pub buffers: HashMap<String, usize>,
    /// The roles of parameters, where an operation told.
    pub roles: BTreeMap<usize, Role>,
    /// Biases whose curvature is zero on some of their entries.
    pub flat: BTreeSet<usize>,
    /// Rows are normalized, as transformers and mixers do.
    pub rows: bool,
    /// An operation says that the file was exported in evaluation mode.
    pub evaluates: bool,
    storages: Vec<Storage>,
    names: HashMap<String, Binding>,
    layer: Arc<str>,
}

impl<'a> Lowering<'a> {
    /// A network without steps: parameters, buffers, constants and inputs.
    ///
    /// # Errors
    /// When an input is not what a network can have.
    pub fn new(program: &'a Program) -> std::result::Result<Self, ImportError> {
        let mut low = Lowering {
            program,
            builder: Builder::default(),
            steps: Vec::new(),
            values: Vec::new(),
            inputs: Vec::new(),
            integers: Vec::new(),
            batch: None,
            notes: Vec::new(),
            normalized: BTreeSet::new(),
            scaled: BTreeSet::new(),
            slots: HashMap::new(),
            moved: BTreeSet::new(),
            buffers: HashMap::new(),
            roles: BTreeMap::new(),
            flat: BTreeSet::new(),
            rows: false,
            evaluates: false,
            storages: Vec::new(),
            names: HashMap::new(),
            layer: "".into(),
        };
        low.unsupported()?;
        low.read_inputs()?;
        for node in &program.nodes {
            low.node(node)?;
        }
        Ok(low)
    }

    /// All operations that are not known, in one error.
    fn unsupported(&self) -> std::result::Result<(), ImportError> {
        let mut found: BTreeMap<&str, Unsupported> = BTreeMap::new();
        for node in self.program.nodes.iter().filter(|n| aten::find(&n.target).is_none()) {
            let entry = found.entry(&node.target).or_insert_with(|| Unsupported {
                target: node.target.clone(),
                times: 0,
                layer: layer_of(node).to_string(),
            });
            entry.times += 1;
        }
        match found.is_empty() {
            true => Ok(()),
            false => Err(ImportError::Unsupported(found.into_values().collect())),
        }
    }

    fn read_inputs(&mut self) -> std::result::Result<(), ImportError> {
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

    fn bind(&mut self, name: &str, value: Value, source: Source) {
        self.storages.push(Storage { value: value.clone(), version: 0, source });
        let storage = self.storages.len() - 1;
        self.names.insert(name.to_string(), Binding { storage, views: Vec::new(), read: Some((0, value)) });
    }

    fn node(&mut self, node: &Node) -> std::result::Result<(), ImportError> {
        self.layer = layer_of(node).into();
        self.lowered(node).map_err(|reason| ImportError::Operation {
            layer: self.layer.to_string(),
            target: node.target.clone(),
            reason,
        })
    }

    fn lowered(&mut self, node: &Node) -> Result<()> {
        let (row, in_place) = aten::find(&node.target).ok_or("is unknown")?;
        let call = Call::new(node);
        let names: Vec<&str> = match row.lower {
            Lower::Nothing => Vec::new(),
            _ => outputs(node)?,
        };
        match row.lower {
            Lower::Nothing => (),
            Lower::First(lower) => {
                let value = lower(self, &call)?;
                call.finish()?;
                let first = names.first().ok_or("makes no value")?;
                self.bind(first, value, Source::Made);
            }
            Lower::Views(views) | Lower::ViewsOrCopy(views) => {
                let base = self.first_name(&call)?;
                let shape = self.value_of(base)?.shape();
                let seen = views(self, &call, &shape)?;
                call.finish()?;
                if seen.len() != names.len() {
                    return Err(format!("makes {} values, and not {}", seen.len(), names.len()));
                }
                let Binding { storage, views: before, .. } = &self.names[base];
                let (storage, before) = (*storage, before.clone());
                for (name, more) in names.into_iter().zip(seen) {
                    let views = before.iter().cloned().chain(more).collect();
                    self.names.insert(name.to_string(), Binding { storage, views, read: None });
                    // What does not fit is found out here.
                    let value = self.value_of(name)?;
                    let may_copy = matches!(row.lower, Lower::ViewsOrCopy(_));
                    if may_copy && !self.in_order(base) && self.in_order(name) {
                        self.bind(name, value, Source::Made);
                    }
                }
            }
            Lower::Value(lower) => {
                let value = lower(self, &call)?;
                call.finish()?;
                let [name] = names[..] else { return Err("makes one value".into()) };
                if in_place {
                    let target = self.first_name(&call)?.to_string();
                    self.write(&target, value)?;
                    let Binding { storage, views, .. } = &self.names[&target];
                    let binding = Binding { storage: *storage, views: views.clone(), read: None };
                    self.names.insert(name.to_string(), binding);
                } else {
                    self.bind(name, value, Source::Made);
                }
            }
        }
        Ok(())
    }

    /// Whether PyTorch's value of this name lies in memory as its axes say; so do those of which the file does not tell.
    fn in_order(&self, name: &str) -> bool {
        let Some(meta) = self.program.values.get(name) else { return true };
        let number = |extent: &Extent| match extent {
            Extent::Fixed(n) => Some(*n),
            Extent::Symbolic { example, .. } => *example,
        };
        let mut step = 1i64;
        meta.sizes.iter().zip(&meta.strides).rev().all(|(size, stride)| {
            let (Some(size), Some(stride)) = (number(size), number(stride)) else { return true };
            let fits = size == 1 || stride == step;
            step = step.saturating_mul(size.max(1));
            fits
        })
    }

    /// The name of an operation's first argument.
    fn first_name<'c>(&self, call: &Call<'c>) -> Result<&'c str> {
        call.first()
            .filter(|name| self.names.contains_key(*name))
            .ok_or("its first argument is no tensor".into())
    }

    /// The value of a name, as it is now.
    pub fn value_of(&mut self, name: &str) -> Result<Value> {
        let binding = self.names.get(name).ok_or_else(|| format!("'{name}' is not known"))?;
        let (storage, version) = (binding.storage, self.storages[binding.storage].version);
        if let Some((_, value)) = binding.read.as_ref().filter(|(read, _)| *read == version) {
            return Ok(value.clone());
        }
        let views = binding.views.clone();
        let value = self.seen(storage, &views)?;
        if let Some(binding) = self.names.get_mut(name) {
            binding.read = Some((version, value.clone()));
        }
        Ok(value)
    }

    fn seen(&mut self, storage: usize, views: &[View]) -> Result<Value> {
        let whole = self.storages[storage].value.clone();
        views.iter().try_fold(whole, |value, view| view.read(self, &value))
    }

    /// Puts a new value where `name` looks at its memory.
    fn write(&mut self, name: &str, new: Value) -> Result<()> {
        let old = self.value_of(name)?;
        if old.shape() != new.shape() {
            return Err("writes a value of another shape".into());
        }
        let Binding { storage, views, .. } = &self.names[name];
        let (storage, views) = (*storage, views.clone());
        if let Source::Parameter(number) = self.storages[storage].source {
            let name = &self.builder.params[number].0.name;
            return Err(format!("writes into parameter '{name}'"));
        }
        let mut new = new;
        for at in (0..views.len()).rev() {
            let whole = self.seen(storage, &views[..at])?;
            new = views[at].write(self, &whole, new)?;
        }
        if let Source::Buffer(_) = self.storages[storage].source {
            new = self.in_training(&new, storage)?;
        }
        let storage = &mut self.storages[storage];
        storage.value = new;
        storage.version += 1;
        Ok(())
    }

    /// What a buffer becomes in training; in evaluation it stays what it is.
    fn in_training(&mut self, new: &Value, storage: usize) -> Result<Value> {
        let old = self.storages[storage].value.clone();
        let (new, old) = (self.as_tensor(new)?, self.as_tensor(&old)?);
        let (new, old) = (self.standard(&new)?, self.standard(&old)?);
        let id = self.emit(Kind::Other, vec![new.id, old.id], new.memory(), Box::new(Trained));
        Ok(Value::Tensor(Tensor { id, ..new }))
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
            if !self.moved.contains(name) && !name.ends_with("num_batches_tracked") {
                found.push((name.clone(), self.value_of(value)?));
            }
        }
        found.retain(|(name, _)| !self.moved.contains(name) && !name.ends_with("num_batches_tracked"));
        Ok(found)
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

    /// The buffer that an argument is, where it is one as a whole.
    pub fn buffer(&self, call: &Call<'_>, name: &'static str) -> Result<Option<String>> {
        let Some(argument) = call.argument(name) else { return Ok(None) };
        let Argument::Tensor(tensor) = argument else { return Err(Call::unexpected(name, argument)) };
        let binding = self.names.get(tensor).ok_or_else(|| format!("'{tensor}' is not known"))?;
        match &self.storages[binding.storage].source {
            Source::Buffer(buffer) if binding.views.is_empty() => Ok(Some(buffer.clone())),
            _ => Err(format!("argument '{name}' is no buffer of the network")),
        }
    }

    /// The value of an argument, where it is there.
    pub fn optional(&mut self, call: &Call<'_>, name: &'static str) -> Result<Option<Value>> {
        match call.argument(name) {
            None => Ok(None),
            Some(Argument::Tensor(tensor) | Argument::Size(sph_pt2::Size::Named(tensor))) => {
                self.value_of(tensor).map(Some)
            }
            Some(argument) => {
                literal(argument).map(|c| Some(c.into())).ok_or_else(|| Call::unexpected(name, argument))
            }
        }
    }

    /// The value of an argument.
    pub fn value(&mut self, call: &Call<'_>, name: &'static str) -> Result<Value> {
        self.optional(call, name)?.ok_or_else(|| format!("argument '{name}' is missing"))
    }

    /// An argument as a value that is computed.
    pub fn tensor(&mut self, call: &Call<'_>, name: &'static str) -> Result<Tensor> {
        let value = self.value(call, name)?;
        self.as_tensor(&value)
    }

    /// An argument as a value that is computed, where it is there.
    pub fn optional_tensor(&mut self, call: &Call<'_>, name: &'static str) -> Result<Option<Tensor>> {
        match self.optional(call, name)? {
            Some(value) => self.as_tensor(&value).map(Some),
            None => Ok(None),
        }
    }

    /// The tensors of a list.
    pub fn list(&mut self, call: &Call<'_>, name: &'static str) -> Result<Vec<Value>> {
        match call.argument(name) {
            Some(Argument::Tensors(names)) => {
                let each = |n: &Option<String>| match n {
                    Some(n) => self.value_of(n),
                    None => Err(format!("argument '{name}' has gaps")),
                };
                names.iter().map(each).collect()
            }
            Some(other) => Err(Call::unexpected(name, other)),
            None => Err(format!("argument '{name}' is missing")),
        }
    }

    /// Extents; `None` where one follows from the others (PyTorch's −1).
    pub fn sizes(&mut self, call: &Call<'_>, name: &'static str) -> Result<Vec<Option<Size>>> {
        let fixed = |v: i64| match v {
            -1 => Ok(None),
            v => usize::try_from(v).map(|v| Some(Size::fixed(v))).map_err(|_| format!("an extent of {v}")),
        };
        match call.argument(name) {
            Some(Argument::Ints(values)) => values.iter().map(|v| fixed(*v)).collect(),
            Some(Argument::Tensors(values)) if values.is_empty() => Ok(Vec::new()),
            Some(Argument::Int(v)) => Ok(vec![fixed(*v)?]),
            Some(Argument::Sizes(values)) => {
                let each = |s: &sph_pt2::Size| match s {
                    sph_pt2::Size::Fixed(v) => fixed(*v),
                    sph_pt2::Size::Named(name) => self.named_size(name).map(Some),
                };
                values.iter().map(each).collect()
            }
            Some(other) => Err(Call::unexpected(name, other)),
            None => Err(format!("argument '{name}' is missing")),
        }
    }

    /// A whole number that a node made.
    pub fn named_size(&mut self, name: &str) -> Result<Size> {
        match self.value_of(name)? {
            Value::Size(size) => Ok(size),
            _ => Err(format!("'{name}' is no whole number")),
        }
    }

    /// A whole number among the arguments, which may depend on the batch size.
    pub fn size(&mut self, call: &Call<'_>, name: &'static str) -> Result<Size> {
        let value = self.value(call, name)?;
        let whole =
            |v: f64| (v >= 0.0 && v.fract() == 0.0 && v < 2f64.powi(31)).then_some(Size::fixed(v as usize));
        match &value {
            Value::Size(size) => Ok(*size),
            Value::Constant(c) => {
                c.single().and_then(whole).ok_or_else(|| format!("argument '{name}' is no extent"))
            }
            Value::Tensor(_) => Err(format!("argument '{name}' is no whole number")),
        }
    }

    /// The value as one that is computed.
    pub fn as_tensor(&mut self, value: &Value) -> Result<Tensor> {
        match value {
            Value::Tensor(x) => Ok(x.clone()),
            Value::Constant(c) => self.materialized(c),
            Value::Size(size) => match size.known() {
                Some(n) => self.materialized(&Constant::scalar(Numbers::Int, n as f64)),
                None => Err("the batch size as a number".into()),
            },
        }
    }

    /// A constant as a value on the tape.
    pub fn materialized(&mut self, constant: &Constant) -> Result<Tensor> {
        if let Some(v) = constant.values.iter().find(|v| v.is_nan()) {
            return Err(format!("a constant has the value {v}"));
        }
        let shape: Vec<Size> = constant.shape.iter().map(|n| Size::fixed(*n)).collect();
        let action = Known { shape: constant.shape.clone(), values: constant.values.as_slice().into() };
        let id = self.emit(Kind::Source, Vec::new(), shape.clone(), Box::new(action));
        Ok(Tensor::standard(id, shape))
    }

    /// A new step that makes a value of these extents in memory.
    pub fn emit(&mut self, kind: Kind, inputs: Vec<Id>, memory: Vec<Size>, action: Box<dyn Action>) -> Id {
        let output = self.values.len();
        self.values.push((memory, Some(self.steps.len())));
        self.steps.push(Step { layer: self.layer.clone(), kind, inputs, output, action });
        Id::Value(output)
    }

    /// A new step that runs an op; the result has this shape and lies in this order.
    pub fn op<O, F>(
        &mut self,
        kind: Kind,
        x: &[&Tensor],
        shape: Vec<Size>,
        order: Vec<usize>,
        f: F,
    ) -> Result<Tensor>
    where
        O: Op<f32> + Op<f64> + 'static,
        F: Fn(&Pass<'_>) -> O + Send + Sync + 'static,
    {
        self.check(&shape)?;
        let memory = order.iter().map(|a| shape[*a]).collect();
        let id = self.emit(kind, x.iter().map(|x| x.id).collect(), memory, Box::new(Apply(f)));
        Ok(Tensor { id, shape, order })
    }

    /// A new step of one input whose result looks like it.
    pub fn map<O, F>(&mut self, kind: Kind, x: &Tensor, f: F) -> Result<Tensor>
    where
        O: Op<f32> + Op<f64> + 'static,
        F: Fn(&Pass<'_>) -> O + Send + Sync + 'static,
    {
        self.op(kind, &[x], x.shape.clone(), x.order.clone(), f)
    }

    /// A new step of two inputs that are expanded to each other.
    pub fn pair<O, F>(&mut self, kind: Kind, a: &Tensor, b: &Tensor, f: F) -> Result<Tensor>
    where
        O: Op<f32> + Op<f64> + 'static,
        F: Fn(&Pass<'_>) -> O + Send + Sync + 'static,
    {
        let shape = joined(&a.shape, &b.shape)?;
        let (a, b) = (self.with_rank(a, shape.len())?, self.with_rank(b, shape.len())?);
        let order = if elements(&b.shape) > elements(&a.shape) { b.order.clone() } else { a.order.clone() };
        let (a, b) = (self.with_order(&a, &order)?, self.with_order(&b, &order)?);
        self.op(kind, &[&a, &b], shape, order, f)
    }

    /// Whether a value of these extents can be had.
    pub fn check(&self, shape: &[Size]) -> Result<()> {
        // One sample must fit the memory of any machine; what a batch needs is known when it runs.
        let one = shape.iter().try_fold(1usize, |n, s| n.checked_mul(s.times));
        match one {
            Some(n) if n < 1 << 40 && shape.len() <= 7 => Ok(()),
            _ => Err(format!(
                "a value of {} is too large, or has more than seven axes",
                super::size::shown(shape)
            )),
        }
    }

    /// The step that makes a value, where one does.
    pub fn step(&self, id: Id) -> Option<&Step> {
        match id {
            Id::Param(_) => None,
            Id::Value(v) => self.values[v].1.map(|step| &self.steps[step]),
        }
    }

    /// Where the elements of a value come from, before they were moved about.
    pub fn origin(&self, mut id: Id) -> Id {
        while let Some(step) = self.step(id).filter(|s| s.kind == Kind::Moved) {
            id = step.inputs[0];
        }
        id
    }
}

/// The innermost module of a node.
fn layer_of(node: &Node) -> &str {
    node.modules.last().map_or("", |m| &m.path)
}

/// The names of what a node makes.
fn outputs(node: &Node) -> Result<Vec<&str>> {
    let mut names = Vec::new();
    for output in &node.outputs {
        match output {
            Argument::Tensor(name) | Argument::Size(sph_pt2::Size::Named(name)) => names.push(&**name),
            Argument::Tensors(list) => names.extend(list.iter().flatten().map(|n| &**n)),
            Argument::None => (),
            other => return Err(format!("makes {other:?}")),
        }
    }
    Ok(names)
}

/// A number that stands in the graph itself.
fn literal(argument: &Argument) -> Option<Constant> {
    match argument {
        Argument::Int(v) | Argument::Size(sph_pt2::Size::Fixed(v)) => {
            Some(Constant::scalar(Numbers::Int, *v as f64))
        }
        Argument::Float(v) => Some(Constant::scalar(Numbers::Float, *v)),
        Argument::Bool(v) => Some(Constant::scalar(Numbers::Bool, f64::from(u8::from(*v)))),
        _ => None,
    }
}

fn numbers(dtype: Dtype) -> Option<Numbers> {
    match dtype {
        Dtype::Bool => Some(Numbers::Bool),
        Dtype::U8 | Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => Some(Numbers::Int),
        Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 => Some(Numbers::Float),
        Dtype::Other(_) => None,
    }
}

fn constant(name: &str, tensor: &sph_pt2::Tensor) -> std::result::Result<Constant, ImportError> {
    let kind = numbers(tensor.dtype).ok_or_else(|| {
        ImportError::Network(format!("tensor '{name}' has elements of type {:?}", tensor.dtype))
    })?;
    Ok(Constant { kind, shape: tensor.shape.clone(), values: tensor.to_f64() })
}

/// That a tensor can be a parameter.
fn finite(name: &str, tensor: &sph_pt2::Tensor) -> std::result::Result<(), ImportError> {
    let fail = |reason: String| Err(ImportError::Network(format!("parameter '{name}' {reason}")));
    if numbers(tensor.dtype) != Some(Numbers::Float) {
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
