//! From PyTorch's graph to steps.

use super::action::{Known, Trained};
use super::aten::{self, Lower};
use super::call::Call;
use super::constant::{Constant, Kind as Numbers};
use super::error::{ImportError, Result, Unsupported};
use super::layout::{Tensor, joined};
use super::size::{Size, elements};
use super::step::{Action, Apply, Id, Kind, NetworkInput, Pass, Step};
use super::view::View;
use crate::statistics::StatisticsSlot;
use crate::{Builder, Role};
use sph_autodiff::Op;
use sph_pt2::{Argument, Extent, Node, Program};
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
pub(crate) struct Storage {
    pub value: Value,
    /// How often it was written.
    pub version: u64,
    pub source: Source,
}

/// A name of the graph: memory, and how it is seen.
pub(crate) struct Binding {
    pub storage: usize,
    pub views: Vec<View>,
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
    /// Memory.
    pub storages: Vec<Storage>,
    /// What names stand for.
    pub names: HashMap<String, Binding>,
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

    /// A name for memory of its own.
    pub fn bind(&mut self, name: &str, value: Value, source: Source) {
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
