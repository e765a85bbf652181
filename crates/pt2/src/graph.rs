//! From the text of a graph to its plain data, with every name made once and before it is read.

use crate::error::{Error, Place, Problem};
use crate::json;
use crate::program::{Argument, Input, InputKind, Node, Output, OutputKind, Size};
use std::collections::HashSet;

/// Inputs, operations and outputs.
pub type Parts = (Vec<Input>, Vec<Node>, Vec<Output>);

/// The graph's parts, checked.
pub fn check(
    inputs: Vec<Argument>,
    operations: Vec<json::Node>,
    signature: json::Signature,
) -> Result<Parts, Error> {
    let mut made = HashSet::new();
    let inputs = described(&inputs, signature.input_specs, &mut made)?;
    let mut nodes = Vec::with_capacity(operations.len());
    for (index, node) in operations.into_iter().enumerate() {
        let target = node.target.strip_prefix("torch.ops.").unwrap_or(&node.target).to_owned();
        let at = |problem| Error { path: None, place: Place::Node(index, target.clone()), problem };
        let modules = node.metadata.modules().map_err(at)?;
        for argument in &node.inputs {
            read(&argument.arg, &made).map_err(at)?;
        }
        for name in node.outputs.iter().flat_map(names) {
            make(name, &mut made).map_err(at)?;
        }
        let arguments = node.inputs.into_iter().map(|a| (a.name, a.arg)).collect();
        nodes.push(Node { target, arguments, outputs: node.outputs, modules });
    }
    let outputs = signature.output_specs.into_iter().enumerate().map(|(index, spec)| {
        let output = output(spec);
        let at = |problem| Error { path: None, place: Place::Output(index), problem };
        read(&output.value, &made).map_err(at).map(|()| output)
    });
    Ok((inputs, nodes, outputs.collect::<Result<_, _>>()?))
}

/// The inputs: the graph names them, and its signature says what they are.
fn described(
    graph: &[Argument],
    specs: Vec<json::InputSpec>,
    made: &mut HashSet<String>,
) -> Result<Vec<Input>, Error> {
    if graph.len() != specs.len() {
        let problem = Problem::Signature { graph: graph.len(), signature: specs.len() };
        return Err(Error { path: None, place: Place::File, problem });
    }
    let input = |(argument, spec): (&Argument, json::InputSpec)| {
        let input = input(spec)?;
        let at = |problem| Error { path: None, place: Place::Input(input.name.clone()), problem };
        match names(argument).next() {
            Some(name) if name != input.name => Err(at(Problem::Unmade(name.into()))),
            _ if input.name.is_empty() => Ok(input),
            _ => make(&input.name, made).map_err(at).map(|()| input),
        }
    };
    graph.iter().zip(specs).map(input).collect()
}

fn input(spec: json::InputSpec) -> Result<Input, Error> {
    use json::InputSpec::*;
    let (name, kind) = match spec {
        Parameter { arg, parameter_name } => (arg.name, InputKind::Parameter(parameter_name)),
        Buffer { arg, buffer_name, persistent } => {
            (arg.name, InputKind::Buffer { name: buffer_name, persistent })
        }
        TensorConstant { arg, tensor_constant_name } => (arg.name, InputKind::Constant(tensor_constant_name)),
        UserInput { arg } => {
            let name = names(&arg).next().map(String::from);
            name.map_or((String::new(), InputKind::Literal(arg)), |name| (name, InputKind::User))
        }
        ConstantInput { name, value } => (name, InputKind::Literal(value)),
        CustomObj { arg } => return Err(not_data(arg, "an object of a custom class")),
        Token { arg } => return Err(not_data(arg, "a token that orders effects")),
    };
    Ok(Input { name, kind })
}

fn not_data(input: json::Named, what: &'static str) -> Error {
    Error { path: None, place: Place::Input(input.name), problem: Problem::NotData(what) }
}

fn output(spec: json::OutputSpec) -> Output {
    use json::OutputSpec::*;
    let (value, kind) = match spec {
        UserOutput { arg } => return Output { value: arg, kind: OutputKind::User },
        BufferMutation { arg, buffer_name } => (arg, OutputKind::Buffer(buffer_name)),
        LossOutput { arg } => (arg, OutputKind::Other("loss_output".into())),
        ParameterMutation { arg } => (arg, OutputKind::Other("parameter_mutation".into())),
        GradientToParameter { arg } => (arg, OutputKind::Other("gradient_to_parameter".into())),
        GradientToUserInput { arg } => (arg, OutputKind::Other("gradient_to_user_input".into())),
        UserInputMutation { arg } => (arg, OutputKind::Other("user_input_mutation".into())),
        Token { arg } => (arg, OutputKind::Other("token".into())),
    };
    Output { value: Argument::Tensor(value.name), kind }
}

/// The names of values in an argument.
fn names(argument: &Argument) -> impl Iterator<Item = &str> {
    let (one, tensors, sizes): (_, &[Option<String>], &[Size]) = match argument {
        Argument::Tensor(name) | Argument::Size(Size::Named(name)) => (Some(name.as_str()), &[], &[]),
        Argument::Tensors(names) => (None, names, &[]),
        Argument::Sizes(sizes) => (None, &[], sizes),
        _ => (None, &[], &[]),
    };
    let named = sizes.iter().filter_map(|size| match size {
        Size::Named(name) => Some(name.as_str()),
        Size::Fixed(_) => None,
    });
    one.into_iter().chain(tensors.iter().flatten().map(String::as_str)).chain(named)
}

fn read(argument: &Argument, made: &HashSet<String>) -> Result<(), Problem> {
    let unmade = names(argument).find(|name| !made.contains(*name));
    unmade.map_or(Ok(()), |name| Err(Problem::Unmade(name.into())))
}

fn make(name: &str, made: &mut HashSet<String>) -> Result<(), Problem> {
    if made.insert(name.into()) { Ok(()) } else { Err(Problem::Remade(name.into())) }
}
