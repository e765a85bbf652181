//! Reads what `torch.export.save` writes: a `.pt2` archive with the graph of a network and its tensors, as plain data.
//!
//! Nothing here computes, and nothing runs code of the file: there is no pickle.

mod program;

pub use program::{
    Argument, Dtype, Extent, Input, InputKind, Module, Node, Output, OutputKind, Program, Size, Tensor,
    TensorMeta,
};
