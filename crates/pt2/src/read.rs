//! From an archive to a program.

use crate::archive::Archive;
use crate::error::{Error, Place, Problem};
use crate::program::{Extent, InputKind, Program};
use crate::{graph, json, weights};
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

/// The major version of the schema that is known. Minor ones add fields.
const MAJOR: u64 = 8;

impl Program {
    /// Reads a file of `torch.export.save` (PyTorch 2.9 or newer).
    ///
    /// # Errors
    /// When it cannot be read, is another kind of file, or is not whole and sound.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let named = |error: Error| Error { path: Some(path.into()), ..error };
        let io = |e: std::io::Error| {
            named(Error { path: None, place: Place::File, problem: Problem::Io(e.to_string()) })
        };
        program(File::open(path).map_err(io)?).map_err(named)
    }

    /// Reads the bytes of such a file.
    ///
    /// # Errors
    /// When they are another kind of file, or not whole and sound.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        program(Cursor::new(bytes))
    }
}

fn program<R: Read + Seek>(file: R) -> Result<Program, Error> {
    let mut archive = Archive::open(file)?;
    let name = archive.graph();
    let text = archive.read(&name)?;
    let versions: json::Versions = json::parse(&text).map_err(|problem| archive.error(&name, problem))?;
    let json::SchemaVersion { major, minor } = versions.schema_version;
    if major != MAJOR {
        let problem = Problem::Schema { major, minor, torch: versions.torch_version };
        return Err(archive.error(&name, problem));
    }
    let exported: json::ExportedProgram =
        json::parse(&text).map_err(|problem| archive.error(&name, problem))?;
    drop(text);
    let json::GraphModule { graph, signature } = exported.graph_module;
    let json::Graph { inputs, nodes, tensor_values } = graph;
    let (inputs, nodes, outputs) = graph::check(inputs, nodes, signature)?;
    let program = Program {
        torch_version: versions.torch_version,
        schema: (major, minor),
        inputs,
        outputs,
        nodes,
        values: tensor_values.0,
        tensors: weights::read(&mut archive)?,
    };
    check_tensors(&program)?;
    Ok(program)
}

/// Every parameter, buffer and constant has values, of the type and extents that the graph knows.
fn check_tensors(program: &Program) -> Result<(), Error> {
    for input in &program.inputs {
        let at = |problem| Error { path: None, place: Place::Input(input.name.clone()), problem };
        let name = match &input.kind {
            InputKind::Parameter(name) | InputKind::Buffer { name, .. } | InputKind::Constant(name) => name,
            InputKind::User | InputKind::Literal(_) => continue,
        };
        let tensor = program.tensors.get(name).ok_or_else(|| at(Problem::NoTensor(name.clone())))?;
        let Some(meta) = program.values.get(&input.name) else { continue };
        let same = |(extent, stored): (&Extent, &usize)| matches!(extent, Extent::Fixed(value) if usize::try_from(*value) == Ok(*stored));
        let agree = meta.dtype == tensor.dtype
            && meta.sizes.len() == tensor.shape.len()
            && meta.sizes.iter().zip(&tensor.shape).all(same);
        if !agree {
            let extent = |extent: &Extent| match extent {
                Extent::Fixed(value) => value.to_string(),
                Extent::Symbolic { expression, .. } => expression.clone(),
            };
            let text = |dtype, extents: Vec<String>| format!("{dtype} [{}]", extents.join(", "));
            let graph = text(meta.dtype, meta.sizes.iter().map(extent).collect());
            let stored = text(tensor.dtype, tensor.shape.iter().map(usize::to_string).collect());
            return Err(at(Problem::Disagree { graph, stored }));
        }
    }
    Ok(())
}
