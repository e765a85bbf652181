//! Reads what `torch.export.save` writes: a `.pt2` archive with the graph of a network and its tensors, as plain data.
//!
//! Nothing here computes, and nothing runs code of the file: there is no pickle.
//!
//! ```no_run
//! let program = sph_pt2::Program::read("net.pt2".as_ref())?;
//! for node in &program.nodes {
//!     println!("{}", node.target);
//! }
//! # Ok::<(), sph_pt2::Error>(())
//! ```
//!
//! # Limits
//!
//! A file may come from anywhere. What it unpacks to is at most 32 times its size, and at most 8 times its size and 8 MiB; so are all its tensors
//! together when they are laid out one element after another (expanded tensors repeat theirs). Every byte is counted before there is memory for
//! it. A text takes at most 24 bytes of memory for each of its own while it is read, the list of the archive's files at
//! most 400 bytes for each byte of the file. Tensors are read one by one, each once, into memory of its own
//! that views share: a file of 500 MB takes 500 MB, and the file itself is not kept.

mod archive;
mod error;
mod graph;
mod json;
mod program;
mod read;
mod tensor;
mod weights;

pub use error::{Error, Place, Problem};
pub use program::{
    Argument, Extent, Input, InputKind, Module, Node, Output, OutputKind, Program, Size, TensorMeta,
};
pub use tensor::{Dtype, Tensor};
