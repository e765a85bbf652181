//! ONNX: the graph of an evaluation pass, from normalized images NCHW to logits, for any batch size.
//!
//! One rule makes it, for every network: two passes are recorded, with batches of two and of three images; the tape is walked op
//! by op, each op adding the nodes that its row in the table says; extents that differ between the two passes are the
//! batch's.

use super::onnx_graph::{Graph, Order};
use super::onnx_ops::{ONNX, Step};
use super::onnx_proto::{ModelProto, OPSETS, OperatorSetIdProto, StringStringEntryProto};
use crate::error::{Error, Result};
use crate::model_info::ModelInfo;
use crate::objective::Objective;
use prost::Message;
use sph_data::Batch;
use sph_tensor::{Array, Shape};

/// The names of the graph's input and output.
pub const INPUT: &str = "images";
/// See [`INPUT`].
pub const OUTPUT: &str = "logits";

/// The version of ONNX's operators that is written when none is named.
pub const OPSET: u8 = 18;

/// The oldest and the newest version of ONNX's operators that can be written.
pub const OPSET_RANGE: std::ops::RangeInclusive<u8> = OPSETS[0].0..=OPSETS[OPSETS.len() - 1].0;

/// The bytes of an ONNX file of the network, in version `opset` of the operators.
///
/// # Errors
/// When an op has no counterpart in ONNX, or the version is out of [`OPSET_RANGE`].
pub fn export(objective: &Objective<f32>, info: &ModelInfo, opset: u8) -> Result<Vec<u8>> {
    let version = OPSETS.iter().find(|(o, _)| *o == opset);
    let unknown = || Error::setting("opset", opset, "is not one of 13 to 21");
    let (_, ir_version) = *version.ok_or_else(unknown)?;
    let (h, w, c) = info.input;
    let record = |n: usize| {
        let mut images = Array::stale(objective.pool(), Shape::new(&[n, h, w, c]));
        images.make_mut().fill(0.0);
        objective.recorded_on(&Batch::of_inputs(images, Vec::new()))
    };
    let ((tape, logits), (other, _)) = (record(2)?, record(3)?);
    let mut graph = Graph::new(opset);
    let store = &objective.store;
    for (i, (spec, value)) in store.specs().iter().zip(&store.values).enumerate() {
        let name = graph.floats(&spec.name, &spec.shape, value.as_slice().iter().copied());
        graph.set(i, Order::Tape, name);
    }
    graph.set(store.values.len(), Order::ChannelsFirst, INPUT.into());
    for (r, other) in tape.recorded().zip(other.recorded()) {
        let (op, output) = (r.op.name(), r.output);
        let fail = |reason: String| Error::Onnx { op: Some(op), reason };
        let row = ONNX.iter().find(|row| row.op == op);
        let row = row.ok_or_else(|| fail("there is no rule for it".into()))?;
        let (order, name) = (row.nodes)(&mut graph, &Step { r, other: other.y }).map_err(fail)?;
        graph.set(output, order, name);
    }
    let result =
        graph.value(logits.number(), Order::Tape).map_err(|reason| Error::Onnx { op: None, reason })?;
    let graph = graph.finish(&info.model, (INPUT, &[c, h, w]), (OUTPUT, &result, info.class_names.len()));
    let entry = |key: &str, value: serde_json::Value| StringStringEntryProto {
        key: key.into(),
        value: value.to_string(),
    };
    let model = ModelProto {
        ir_version,
        producer_name: "sph".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset.into() }],
        metadata_props: vec![
            entry("mean", serde_json::json!(info.normalisation.mean)),
            entry("std", serde_json::json!(info.normalisation.std)),
            entry("classes", serde_json::json!(info.class_names)),
        ],
    };
    Ok(model.encode_to_vec())
}

#[test]
fn the_file_says_how_images_are_normalized_and_convolutions_pad() {
    use sph_data::DataOptions;
    let digits = sph_data::load("digits", &DataOptions::default()).unwrap();
    let info = ModelInfo::new("resnet8", "bn", "digits", &DataOptions::default(), &digits);
    let objective = Objective::<f32>::new(info.build(0.0).unwrap(), &sph_tensor::Pool::new(), 0);
    let model = ModelProto::decode(&export(&objective, &info, OPSET).unwrap()[..]).unwrap();
    let entry = |key: &str| -> serde_json::Value {
        serde_json::from_str(&model.metadata_props.iter().find(|e| e.key == key).unwrap().value).unwrap()
    };
    assert_eq!(entry("mean"), serde_json::json!(digits.normalisation.mean));
    assert_eq!(entry("std"), serde_json::json!(digits.normalisation.std));
    assert_eq!(entry("classes"), serde_json::json!(digits.class_names));
    let graph = model.graph.unwrap();
    let convolutions: Vec<_> = graph.node.iter().filter(|n| n.op_type == "Conv").collect();
    let ints = |node: &super::onnx_proto::NodeProto, name: &str| -> Vec<i64> {
        node.attribute.iter().find(|a| a.name == name).unwrap().ints.clone()
    };
    // The stem, two in each of three blocks, and two shortcuts of 1×1.
    let kernels: Vec<i64> = convolutions.iter().map(|n| ints(n, "kernel_shape")[0]).collect();
    assert_eq!(
        (kernels.iter().filter(|k| **k == 3).count(), kernels.iter().filter(|k| **k == 1).count()),
        (7, 2)
    );
    for (node, kernel) in convolutions.iter().zip(kernels) {
        assert_eq!(ints(node, "pads"), [kernel / 2; 4]);
    }
}

#[test]
fn reductions_take_their_axes_as_their_version_does() {
    use sph_data::DataOptions;
    let digits = sph_data::load("digits", &DataOptions::default()).unwrap();
    let info = ModelInfo::new("mlp", "ln", "digits", &DataOptions::default(), &digits);
    let objective = Objective::<f32>::new(info.build(0.0).unwrap(), &sph_tensor::Pool::new(), 0);
    for opset in OPSET_RANGE {
        let model = ModelProto::decode(&export(&objective, &info, opset).unwrap()[..]).unwrap();
        assert_eq!(model.opset_import[0].version, i64::from(opset));
        let nodes = model.graph.unwrap().node;
        let means: Vec<_> = nodes.iter().filter(|n| n.op_type == "ReduceMean").collect();
        assert!(!means.is_empty());
        for mean in means {
            let attribute = mean.attribute.iter().any(|a| a.name == "axes" && a.ints == [2]);
            assert_eq!(
                (mean.input.len(), attribute),
                if opset < 18 { (1, true) } else { (2, false) },
                "{opset}"
            );
        }
    }
    assert!(export(&objective, &info, 22).unwrap_err().to_string().contains("`opset` 22"));
}
