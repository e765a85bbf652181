//! Trained networks as files for other programs, one file a format.

pub mod onnx;
mod onnx_graph;
mod onnx_ops;
mod onnx_proto;
pub mod pytorch;
