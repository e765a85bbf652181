//! What PyTorch wrote is read as PyTorch itself reads it: `tools/make_pt2.py` writes tiny networks and, beside each, a list of what is in it.

mod common;

use common::networks;
use sha2::{Digest, Sha256};
use sph_pt2::{Argument, Extent, InputKind, Node, OutputKind, Program, Size};
use std::collections::HashMap;

/// An argument, spelt as the lists have it.
fn word(argument: &Argument) -> String {
    fn list<T>(values: &[T], word: impl Fn(&T) -> String) -> String {
        format!("[{}]", values.iter().map(word).collect::<Vec<_>>().join(", "))
    }
    let truth = |b: &bool| String::from(if *b { "True" } else { "False" });
    let float = |v: &f64| if v.is_finite() { format!("{v:.17e}") } else { v.to_string() };
    let size = |size: &Size| match size {
        Size::Fixed(value) => value.to_string(),
        Size::Named(name) => format!("%{name}"),
    };
    match argument {
        Argument::None => "None".into(),
        Argument::Tensor(name) => format!("%{name}"),
        Argument::Tensors(names) => {
            list(names, |n| n.as_ref().map_or("None".into(), |name| format!("%{name}")))
        }
        Argument::Int(value) => value.to_string(),
        Argument::Ints(values) => list(values, i64::to_string),
        Argument::Float(value) => float(value),
        Argument::Floats(values) => list(values, float),
        Argument::Bool(value) => truth(value),
        Argument::Bools(values) => list(values, truth),
        Argument::String(value) => value.clone(),
        Argument::Size(value) => size(value),
        Argument::Sizes(values) => list(values, size),
        Argument::Dtype(dtype) => dtype.to_string(),
        Argument::Other(_) => "other".into(),
    }
}

fn node(node: &Node) -> String {
    // Operators of Python have no names for their arguments.
    let name = |name: &str| if node.target.starts_with('_') { String::new() } else { name.into() };
    let arguments: Vec<_> = node.arguments.iter().map(|(n, a)| format!("{}={}", name(n), word(a))).collect();
    let outputs: Vec<_> = node.outputs.iter().map(|o| word(o).replace(['[', ']'], "")).collect();
    let modules: Vec<_> = node.modules.iter().map(|m| format!("{}:{}", m.path, m.class)).collect();
    let (arguments, outputs, modules) = (arguments.join(", "), outputs.join(", "), modules.join(" > "));
    format!("node {}({arguments}) -> {outputs} in {modules}", node.target)
}

/// The list that PyTorch's reader makes of the file.
fn describe(program: &Program) -> Vec<String> {
    let mut lines = vec![format!("torch {}", program.torch_version.as_deref().unwrap_or_default())];
    for input in &program.inputs {
        let persistent = |persistent| if persistent { "True" } else { "False" };
        let kind = match &input.kind {
            InputKind::Parameter(name) => {
                let frozen = if program.tensors[name].requires_grad { "" } else { " frozen" };
                format!("parameter {name} None{frozen}")
            }
            InputKind::Buffer { name, persistent: p } => format!("buffer {name} {}", persistent(*p)),
            InputKind::Constant(name) => format!("constant_tensor {name} None"),
            InputKind::User => "user_input None None".into(),
            InputKind::Literal(value) => format!("user_input None None = {}", word(value)),
        };
        lines.push(format!("input %{} {kind}", input.name));
    }
    lines.extend(program.nodes.iter().map(node));
    for output in &program.outputs {
        let kind = match &output.kind {
            OutputKind::User => "user_output None".into(),
            OutputKind::Buffer(name) => format!("buffer_mutation {name}"),
            OutputKind::Other(kind) => format!("{kind} None"),
        };
        lines.push(format!("output {} {kind}", word(&output.value)));
    }
    for (name, value) in &program.values {
        let extent = |extent: &Extent| match extent {
            Extent::Fixed(value) => value.to_string(),
            Extent::Symbolic { example, .. } => format!("{}?", example.unwrap()),
        };
        let extents: Vec<_> = value.sizes.iter().map(extent).collect();
        lines.push(format!("value %{name} {} [{}]", value.dtype, extents.join(", ")));
    }
    let mut storages = HashMap::new();
    for (name, t) in &program.tensors {
        let bytes: Vec<u8> = t.to_f64().iter().flat_map(|v| v.to_le_bytes()).collect();
        let digest: String = Sha256::digest(&bytes)[..8].iter().map(|b| format!("{b:02x}")).collect();
        let first = storages.entry(t.storage).or_insert(name);
        let place = format!("{:?} {:?} {}", t.shape, t.strides, t.offset);
        lines.push(format!("tensor {name} {} {place} {digest} {first}", t.dtype));
    }
    lines
}

#[test]
fn networks_are_read_as_pytorch_reads_them() {
    for path in networks() {
        let program = Program::read(&path).unwrap();
        let golden = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let golden: Vec<&str> = golden.lines().collect();
        let read = describe(&program);
        for (read, golden) in read.iter().zip(&golden) {
            assert_eq!(read, golden, "{}", path.display());
        }
        assert_eq!(read.len(), golden.len(), "{}", path.display());
        assert_eq!(Program::parse(&std::fs::read(&path).unwrap()).unwrap(), program);
    }
}

#[test]
fn tied_weights_are_one_tensor() {
    let program = |name: &str| {
        let path = networks().into_iter().find(|p| p.ends_with(name)).unwrap();
        Program::read(&path).unwrap()
    };
    let tied = program("two_inputs.pt2");
    assert!(tied.tensors["head.weight"].same_as(&tied.tensors["table.weight"]));
    assert!(!tied.tensors["a.bias"].same_as(&tied.tensors["b.bias"]));
    // The same numbers of another file are another tensor.
    assert!(!tied.tensors["a.bias"].same_as(&program("two_inputs.pt2").tensors["a.bias"]));
    let halves = program("strided.pt2");
    let (left, right) = (&halves.tensors["left"], &halves.tensors["right"]);
    assert_eq!(left.storage, right.storage);
    assert!(!left.same_as(right));
}
