//! What can be wrong with a file.

use crate::tensor::Dtype;
use std::fmt;
use std::path::PathBuf;

/// Why a file is not read: one line that says which file, where in it, what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file, where it has a name.
    pub path: Option<PathBuf>,
    /// Where in it.
    pub place: Place,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        match &self.place {
            Place::File => {}
            Place::Entry(name) => write!(f, "{}: ", Shown(name))?,
            Place::Tensor(name) => write!(f, "tensor `{}`: ", Shown(name))?,
            Place::Input(name) => write!(f, "input `{}` of the graph: ", Shown(name))?,
            Place::Output(index) => write!(f, "output {index} of the graph: ")?,
            Place::Node(index, target) => write!(f, "node {index} of the graph, `{}`: ", Shown(target))?,
        }
        write!(f, "{}", self.problem)
    }
}

/// Where in a file something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A file in the archive.
    Entry(String),
    /// A tensor, by its name in the module.
    Tensor(String),
    /// An input of the graph.
    Input(String),
    /// An output of the graph, by its number from 0.
    Output(usize),
    /// An operation, by its number from 0 and its target.
    Node(usize, String),
}

/// What is wrong with a file, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(String),
    /// Another kind of file, or the beginning of one.
    #[error("is no whole zip archive, as a .pt2 file is ({0}); {EXPORT}")]
    NotAnArchive(String),
    /// A file of `torch.save`.
    #[error("is a file of torch.save, which has weights but no graph; {EXPORT}")]
    TorchSave,
    /// A file of `torch.jit.save`.
    #[error("is a TorchScript file; {EXPORT}")]
    TorchScript,
    /// A package of compiled code.
    #[error("is an AOTInductor package, which has compiled code but no graph; {EXPORT}")]
    Compiled,
    /// A zip file of something else.
    #[error("is a zip archive without a graph in models/; {EXPORT}")]
    NoGraph,
    /// Several networks in one archive.
    #[error("holds several graphs ({}); write a file for each with torch.export.save", list(.0))]
    Several(Vec<String>),
    /// The weights are a pickle, as PyTorch before 2.9 writes them.
    #[error(
        "is in the format of {}, whose weights are a pickle; {EXPORT}, with PyTorch 2.9 or newer",
        .0.as_deref().map_or("PyTorch 2.1 to 2.8".into(), |v| format!("an older PyTorch ({})", Shown(v)))
    )]
    OlderFormat(Option<String>),
    /// A version of the format with other rules.
    #[error(
        "has version {major}.{minor} of the format (PyTorch {}); versions 8.x can be read; {EXPORT}, with PyTorch 2.9 to 2.15",
        torch.as_deref().map_or("unknown".into(), |v| Shown(v).to_string())
    )]
    Schema {
        /// Its number.
        major: u64,
        /// The second part of it.
        minor: u64,
        /// The version of PyTorch, where the file tells.
        torch: Option<String>,
    },
    /// A version of the archive with other rules.
    #[error("has the version `{}`; archives of version 0 can be read; {EXPORT}, with PyTorch 2.9 to 2.15", Shown(.0))]
    ArchiveVersion(String),
    /// Tensors of a machine with the other order of bytes.
    #[error("says `{}`; only little-endian files can be read: export on such a machine", Shown(.0))]
    ByteOrder(String),
    /// Two files in the archive have one name.
    #[error("has several files of one name in it; {EXPORT}")]
    SameName,
    /// A file that ought to be in the archive.
    #[error("is not in the archive; {EXPORT}")]
    Missing,
    /// A file in the archive that does not unpack to what it should.
    #[error("is damaged ({0}); fetch or export it anew")]
    Damaged(String),
    /// What unpacks to far more than the file.
    #[error(
        "unpacks to {bytes} bytes, where {left} of {limit} are left for a file of this size; archives of torch.export.save are not compressed"
    )]
    Unpacks {
        /// Bytes that it has.
        bytes: u64,
        /// Bytes that may still be unpacked.
        left: u64,
        /// Bytes that may be unpacked of this file.
        limit: u64,
    },
    /// Text that is not what the format says.
    #[error("{0}")]
    Json(String),
    /// A pickle stands for a tensor.
    #[error("is stored as a pickle, which could run code; export it as a plain dense tensor")]
    Pickled,
    /// A tensor without extents.
    #[error("the file does not say its extents and elements")]
    NoMeta,
    /// A tensor of a type that nothing computes with.
    #[error("has elements of type {0}; convert it before exporting, for example with .float()")]
    Elements(Dtype),
    /// A sparse tensor.
    #[error("is not dense (layout {0}); convert it before exporting with .to_dense()")]
    Layout(i64),
    /// An extent, a step or a beginning that is no number of elements.
    #[error("its {what} {} cannot be; export it anew", Shown(value))]
    Number {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// Extents and steps of different numbers of axes.
    #[error("has {extents} extents but {strides} strides")]
    Axes {
        /// Number of extents.
        extents: usize,
        /// Number of steps.
        strides: usize,
    },
    /// A tensor that has elements outside its bytes.
    #[error("reaches to element {end} of {}, which has {bytes} bytes ({elements} elements)", Shown(entry))]
    Outside {
        /// The last element and one.
        end: String,
        /// The file in the archive.
        entry: String,
        /// Its bytes.
        bytes: usize,
        /// The elements in it.
        elements: usize,
    },
    /// Bytes that are no whole number of elements.
    #[error("{} has {bytes} bytes, no multiple of {size}, the size of an element", Shown(entry))]
    Uneven {
        /// The file in the archive.
        entry: String,
        /// Its bytes.
        bytes: usize,
        /// Bytes of an element.
        size: usize,
    },
    /// Views that repeat their elements far more often than the file is long.
    #[error(
        "its extents {} over {bytes} bytes make too large a tensor: those of a file of this size may have {limit} bytes together; expand it in forward",
        axes(shape)
    )]
    Expanded {
        /// Its extents.
        shape: Vec<usize>,
        /// The bytes behind them.
        bytes: usize,
        /// Bytes that all tensors may have, laid out one after another.
        limit: u64,
    },
    /// A name of a file that leads elsewhere.
    #[error("its bytes are in `{}`, which is no name of a file in the archive", Shown(.0))]
    FileName(String),
    /// A parameter, buffer or constant without values.
    #[error("there are no values for `{}`; {EXPORT}", Shown(.0))]
    NoTensor(String),
    /// The graph and the weights say different things of a tensor.
    #[error("is {} in the graph and {} among the weights", Shown(graph), Shown(stored))]
    Disagree {
        /// What the graph says.
        graph: String,
        /// What the weights say.
        stored: String,
    },
    /// A value that is read before it is made, or never made.
    #[error("reads `{}`, which nothing has made before", Shown(.0))]
    Unmade(String),
    /// A value that is made twice.
    #[error("makes `{}`, which there is already", Shown(.0))]
    Remade(String),
    /// The list of inputs and what is said of them do not agree.
    #[error("the graph has {graph} inputs, its signature {signature}")]
    Signature {
        /// Inputs of the graph.
        graph: usize,
        /// Inputs that the signature describes.
        signature: usize,
    },
    /// An input that is not data.
    #[error("is {0}, which only Python can make; export the network without it")]
    NotData(&'static str),
    /// Modules that a node belongs to, of another form.
    #[error("its modules `{}` are not of the form `key,path,class;…`", Shown(.0))]
    Modules(String),
}

/// How to make a file that can be read.
const EXPORT: &str =
    "export the network with torch.export.save(torch.export.export(model, inputs), \"net.pt2\")";

/// Text of a file, fit to be part of a line: without control characters, and not too long.
pub(crate) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 200;
        for c in self.0.chars().take(LONGEST) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        if self.0.chars().nth(LONGEST).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// Extents, the first of them if there are many.
fn axes(shape: &[usize]) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = shape.iter().take(MOST).map(usize::to_string).collect();
    format!("[{}{}]", shown.join(", "), if shape.len() > MOST { ", …" } else { "" })
}

/// The first names of a list.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|n| Shown(n).to_string()).collect();
    shown.join(", ") + if names.len() > 5 { ", …" } else { "" }
}
