//! An ONNX graph under construction, value by value of a tape.
//!
//! The tape holds images NHWC, ONNX's operators on images want NCHW. A value is held in the order in which it came to be, and
//! transposed when an op reads it in the other one: networks of convolutions have no transposition at all.

use super::onnx_proto::*;
use sph_tensor::Shape;
use std::collections::BTreeMap;

/// The order of a value's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As on the tape.
    Tape,
    /// Images NCHW.
    ChannelsFirst,
}

/// The names that one value of the tape has in the graph, in one order or both.
#[derive(Debug, Clone, Default)]
struct Names {
    tape: Option<String>,
    channels_first: Option<String>,
    /// The order it came to be in.
    native: Option<Order>,
}

/// A setting of an operator.
pub enum Attribute {
    /// A number.
    Float(f64),
    /// A whole number.
    Int(usize),
    /// Several.
    Ints(Vec<usize>),
}

/// A graph under construction.
pub struct Graph {
    opset: u8,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    values: BTreeMap<usize, Names>,
    names: usize,
}

impl Graph {
    /// An empty graph for this version of the operators.
    pub fn new(opset: u8) -> Self {
        Graph { opset, nodes: Vec::new(), initializers: Vec::new(), values: BTreeMap::new(), names: 0 }
    }

    /// Adds a reduction (`ReduceMean`, `ReduceL2`) over these axes, which stay with extent 1. From version 18 of the operators on the axes are
    /// an input.
    pub fn reduce(&mut self, op: &str, x: &str, axes: Vec<usize>) -> String {
        let keep = ("keepdims", Attribute::Int(1));
        if self.opset < 18 {
            return self.node(op, &[x], &[("axes", Attribute::Ints(axes)), keep]);
        }
        let axes = self.ints(axes.into_iter().map(|axis| axis as i64));
        self.node(op, &[x, &axes], &[keep])
    }

    /// Says that value `number` of the tape is called `name`.
    pub fn set(&mut self, number: usize, order: Order, name: String) {
        let names = self.values.entry(number).or_default();
        names.native.get_or_insert(order);
        match order {
            Order::Tape => names.tape = Some(name),
            Order::ChannelsFirst => names.channels_first = Some(name),
        }
    }

    /// The order in which value `number` came to be.
    pub fn native(&self, number: usize) -> Order {
        self.values.get(&number).and_then(|n| n.native).unwrap_or(Order::Tape)
    }

    /// The name of value `number` in this order; a transposition is added where it is missing.
    ///
    /// # Errors
    /// When the value is not one of the graph.
    pub fn value(&mut self, number: usize, order: Order) -> Result<String, String> {
        let names = self.values.get(&number).cloned().unwrap_or_default();
        let (wanted, other, perm) = match order {
            Order::Tape => (names.tape, names.channels_first, [0, 2, 3, 1]),
            Order::ChannelsFirst => (names.channels_first, names.tape, [0, 3, 1, 2]),
        };
        if let Some(name) = wanted {
            return Ok(name);
        }
        let other = other
            .ok_or("it reads a value that is neither a parameter, the images, nor the output of an op")?;
        let name = self.node("Transpose", &[&other], &[("perm", Attribute::Ints(perm.to_vec()))]);
        self.set(number, order, name.clone());
        Ok(name)
    }

    /// Adds an operator and returns the name of its output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> String {
        let name = self.fresh(op);
        let attribute = |(name, value): &(&str, Attribute)| {
            let base = AttributeProto { name: name.to_string(), ..Default::default() };
            match value {
                Attribute::Float(f) => AttributeProto { f: *f as f32, r#type: 1, ..base },
                Attribute::Int(i) => AttributeProto { i: *i as i64, r#type: 2, ..base },
                Attribute::Ints(v) => {
                    AttributeProto { ints: v.iter().map(|i| *i as i64).collect(), r#type: 7, ..base }
                }
            }
        };
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.into(),
            attribute: attributes.iter().map(attribute).collect(),
        });
        name
    }

    /// A name that nothing has yet.
    pub fn fresh(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{}_{}", stem.to_lowercase(), self.names)
    }

    /// A constant array of floating-point numbers.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let raw_data = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.initializer(name, dims, FLOAT, raw_data)
    }

    /// A constant number.
    pub fn scalar(&mut self, value: f64) -> String {
        let name = self.fresh("constant");
        self.floats(&name, &[], [value as f32])
    }

    /// A constant row of whole numbers.
    pub fn ints(&mut self, values: impl IntoIterator<Item = i64>) -> String {
        let values: Vec<i64> = values.into_iter().collect();
        let name = self.fresh("constant");
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(&name, &[values.len()], INT64, raw_data)
    }

    fn initializer(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let dims = dims.iter().map(|d| *d as i64).collect();
        self.initializers.push(TensorProto { dims, data_type, name: name.into(), raw_data });
        name.into()
    }

    /// The value called `name` under another shape, whose entries are ONNX's: 0 keeps an extent, -1 is what is left.
    pub fn reshape(&mut self, name: &str, shape: impl IntoIterator<Item = i64>) -> String {
        let shape = self.ints(shape);
        self.node("Reshape", &[name, &shape], &[])
    }

    /// The finished graph from `input` (name and shape behind the batch axis) to `output`.
    pub fn finish(
        mut self,
        name: &str,
        input: (&str, &[usize]),
        (output, result, classes): (&str, &str, usize),
    ) -> GraphProto {
        // The last name is the one users see.
        for node in &mut self.nodes {
            node.input
                .iter_mut()
                .chain(&mut node.output)
                .filter(|n| *n == result)
                .for_each(|n| *n = output.into());
        }
        // What nothing reads is left out: of decoupled layers and counts.
        let read: std::collections::BTreeSet<&String> = self.nodes.iter().flat_map(|n| &n.input).collect();
        let initializer = self.initializers.into_iter().filter(|t| read.contains(&t.name)).collect();
        GraphProto {
            name: name.into(),
            initializer,
            input: vec![value_info(input.0, input.1)],
            output: vec![value_info(output, &[classes])],
            node: self.nodes,
        }
    }
}

/// A value of any batch size.
fn value_info(name: &str, dims: &[usize]) -> ValueInfoProto {
    let any = DimensionProto { dim_value: None, dim_param: Some("batch".into()) };
    let fixed = dims.iter().map(|d| DimensionProto { dim_value: Some(*d as i64), dim_param: None });
    let shape = Some(TensorShapeProto { dim: std::iter::once(any).chain(fixed).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: FLOAT, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// A shape for a `Reshape` node: the one extent that differs between two batch sizes is what is left.
///
/// # Errors
/// When several differ.
pub fn any_batch(one: Shape, other: Shape) -> Result<Vec<i64>, String> {
    let extents = one.dims().iter().zip(other.dims());
    let shape: Vec<i64> = extents.map(|(a, b)| if a == b { *a as i64 } else { -1 }).collect();
    match shape.iter().filter(|d| **d == -1).count() {
        0 | 1 => Ok(shape),
        _ => Err("several extents depend on the batch".into()),
    }
}
