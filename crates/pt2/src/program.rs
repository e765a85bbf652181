//! What an archive holds, as plain data: the graph of a network and its tensors.

use crate::tensor::{Dtype, Tensor};
use std::collections::BTreeMap;

/// An exported network.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The version of PyTorch that wrote the file, where it says so.
    pub torch_version: Option<String>,
    /// The version of the format: major, minor.
    pub schema: (u64, u64),
    /// What the graph reads, in order.
    pub inputs: Vec<Input>,
    /// What the graph gives, in order.
    pub outputs: Vec<Output>,
    /// The operations, in the order they run: every value is made before it is read.
    pub nodes: Vec<Node>,
    /// What is known of the tensors that the graph names.
    pub values: BTreeMap<String, TensorMeta>,
    /// The parameters, buffers and constants by the names that [`InputKind`] gives them.
    pub tensors: BTreeMap<String, Tensor>,
}

/// An input of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name by which nodes read it; empty where the file names a literal nowhere.
    pub name: String,
    /// What it is.
    pub kind: InputKind,
}

/// What an input of the graph is.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// A parameter of the module, by its qualified name, such as `layer1.0.conv1.weight`.
    Parameter(String),
    /// A buffer of the module.
    Buffer {
        /// Its qualified name.
        name: String,
        /// It is part of the module's state.
        persistent: bool,
    },
    /// A tensor that the code of the module holds.
    Constant(String),
    /// What the caller gives.
    User,
    /// A value that the caller gave when the network was exported, and that stands fast.
    Literal(Argument),
}

/// An output of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The value.
    pub value: Argument,
    /// What it is for.
    pub kind: OutputKind,
}

/// What an output of the graph is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// The caller gets it.
    User,
    /// The new value of a buffer, by its qualified name.
    Buffer(String),
    /// Anything else; named as the file names it.
    Other(String),
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it does, without `torch.ops.`: `aten.conv2d.default`; what is no operator of PyTorch stands as it is: `_operator.mul`.
    pub target: String,
    /// Its arguments by name, in the file's order. What has its default is left out by PyTorch.
    pub arguments: Vec<(String, Argument)>,
    /// The names of what it makes: tensors ([`Argument::Tensor`]), lists of tensors, whole numbers ([`Argument::Size`]).
    pub outputs: Vec<Argument>,
    /// The modules it belongs to, the outermost first.
    pub modules: Vec<Module>,
}

/// A module of the network, as [`Node::modules`] names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where it hangs: `layer1.0.conv1`; empty for the network itself.
    pub path: String,
    /// Its class: `torch.nn.modules.conv.Conv2d`.
    pub class: String,
}

/// An argument of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// Nothing: Python's `None`.
    None,
    /// A tensor, by its name in the graph.
    Tensor(String),
    /// Several tensors; some may be absent.
    Tensors(Vec<Option<String>>),
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// A number.
    Float(f64),
    /// Numbers.
    Floats(Vec<f64>),
    /// Yes or no.
    Bool(bool),
    /// Several of those.
    Bools(Vec<bool>),
    /// Text.
    String(String),
    /// A whole number that may be known when the network runs only.
    Size(Size),
    /// Several of those.
    Sizes(Vec<Size>),
    /// A type of elements.
    Dtype(Dtype),
    /// What has no meaning here (devices, layouts, memory formats), or is not known: the name of its kind in the file.
    Other(String),
}

/// A whole number in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// A fixed one.
    Fixed(i64),
    /// One that a node makes, by its name.
    Named(String),
}

/// What the file says of a tensor of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorMeta {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its extents.
    pub sizes: Vec<Extent>,
    /// Steps in memory, in elements, along each axis.
    pub strides: Vec<Extent>,
}

/// An extent that the file knows, or a symbol for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// So many.
    Fixed(i64),
    /// A symbol or an expression of symbols.
    Symbolic {
        /// As the file spells it, in SymPy's terms and without what it says of symbols: `s77`, `Mul(9, s77)`.
        expression: String,
        /// What it was when the network was exported, where the file tells.
        example: Option<i64>,
    },
}
