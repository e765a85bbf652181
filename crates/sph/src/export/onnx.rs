//! ONNX: the graph of an evaluation pass, from normalized images NCHW to logits, for any batch size.
//!
//! One rule makes it, for every network: two passes are recorded, with batches of two and of three images; the tape is walked op
//! by op, each op adding the nodes that its row in the table says; extents that differ between the two passes are the
//! batch's.

use super::onnx_graph::{Graph, Order};
use super::onnx_ops::{ONNX, Step};
use super::onnx_proto::{IR_VERSION, ModelProto, OPSET, OperatorSetIdProto, StringStringEntryProto};
use crate::error::{Error, Result};
use crate::model_info::ModelInfo;
use crate::objective::Objective;
use prost::Message;
use sph_tensor::{Array, Shape};

/// The names of the graph's input and output.
pub const INPUT: &str = "images";
/// See [`INPUT`].
pub const OUTPUT: &str = "logits";

/// The bytes of an ONNX file of the network.
///
/// # Errors
/// When an op has no counterpart in ONNX.
pub fn export(objective: &Objective<f32>, info: &ModelInfo) -> Result<Vec<u8>> {
    let (h, w, c) = info.input;
    let record = |n: usize| {
        let mut images = Array::stale(objective.pool(), Shape::new(&[n, h, w, c]));
        images.make_mut().fill(0.0);
        objective.recorded_on(&images)
    };
    let ((tape, logits), (other, _)) = (record(2)?, record(3)?);
    let mut graph = Graph::default();
    let store = &objective.store;
    for (i, (spec, value)) in store.specs().iter().zip(&store.values).enumerate() {
        let name = graph.floats(&spec.name, &spec.shape, value.as_slice().iter().copied());
        graph.set(i, Order::Tape, name);
    }
    graph.set(store.values.len(), Order::ChannelsFirst, INPUT.into());
    for (r, other) in tape.recorded().zip(other.recorded()) {
        let (op, output) = (r.op.name(), r.output);
        let fail =
            |reason: String| Error::Config(format!("the op '{op}' cannot be written to ONNX: {reason}"));
        let row = ONNX.iter().find(|row| row.op == op);
        let row = row.ok_or_else(|| fail("there is no rule for it".into()))?;
        let (order, name) = (row.nodes)(&mut graph, &Step { r, other: other.y }).map_err(fail)?;
        graph.set(output, order, name);
    }
    let result = graph.value(logits.number(), Order::Tape).map_err(Error::Config)?;
    let graph = graph.finish(&info.model, (INPUT, &[c, h, w]), (OUTPUT, &result, info.class_names.len()));
    let entry = |key: &str, value: serde_json::Value| StringStringEntryProto {
        key: key.into(),
        value: value.to_string(),
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "sph".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: vec![
            entry("mean", serde_json::json!(info.normalisation.mean)),
            entry("std", serde_json::json!(info.normalisation.std)),
            entry("classes", serde_json::json!(info.class_names)),
        ],
    };
    Ok(model.encode_to_vec())
}
