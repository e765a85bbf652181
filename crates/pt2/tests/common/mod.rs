//! Archives to read: those that PyTorch wrote, and a small one to change.

#![allow(dead_code, reason = "every test uses some of it")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;
use zip::CompressionMethod::{Deflated, Stored};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

pub const MODEL: &str = "net/models/model.json";
pub const WEIGHTS: &str = "net/data/weights/model_weights_config.json";
pub const CONSTANTS: &str = "net/data/constants/model_constants_config.json";

/// The files that `tools/make_pt2.py` writes, by name.
pub fn networks() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let mut paths: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "pt2"));
    paths.sort();
    assert!(paths.len() > 10, "{} has no files", folder.display());
    paths
}

/// An archive's files, by name.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// What is in an archive.
pub fn unpack(archive: &[u8]) -> Entries {
    let mut zip = ZipArchive::new(Cursor::new(archive)).unwrap();
    let count = zip.len();
    let read = |i| {
        let mut entry = zip.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

/// An archive of files.
pub fn pack<'a>(entries: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>, compressed: bool) -> Vec<u8> {
    let method = if compressed { Deflated } else { Stored };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut to = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        to.start_file(name.as_str(), options).unwrap();
        to.write_all(bytes).unwrap();
    }
    to.finish().unwrap().into_inner()
}

fn size(value: i64) -> Value {
    json!({ "as_int": value })
}

/// What a list of tensors says of one of 32-bit floats.
pub fn meta(shape: &[i64], strides: &[i64], offset: i64) -> Value {
    let sizes = |values: &[i64]| values.iter().map(|v| size(*v)).collect::<Vec<_>>();
    json!({
        "dtype": 7, "sizes": sizes(shape), "strides": sizes(strides), "storage_offset": size(offset),
        "layout": 7, "requires_grad": true, "device": {"type": "cpu", "index": null}
    })
}

/// A linear layer without shift: 2×3 weights of an input [batch, 3]; and a constant that nothing reads.
pub fn linear() -> Entries {
    let tensor = |name: &str| json!({"as_tensor": {"name": name}});
    let batch = json!({"as_expr": {
        "expr_str": "Symbol('s0', positive=True, integer=True)", "hint": {"as_int": 4}
    }});
    let mut x = meta(&[0, 3], &[3, 1], 0);
    x["sizes"][0] = batch.clone();
    let mut y = meta(&[0, 2], &[2, 1], 0);
    y["sizes"][0] = batch;
    let model = json!({
        "graph_module": {
            "graph": {
                "inputs": [tensor("p_w"), tensor("c_c"), tensor("x")],
                "outputs": [tensor("y")],
                "nodes": [{
                    "target": "torch.ops.aten.linear.default",
                    "inputs": [
                        {"name": "input", "arg": tensor("x"), "kind": 1},
                        {"name": "weight", "arg": tensor("p_w"), "kind": 1}
                    ],
                    "outputs": [tensor("y")],
                    "metadata": {"nn_module_stack": "L__self__,,net.Net;L__self__a,a,torch.nn.Linear"}
                }],
                "tensor_values": {"p_w": meta(&[2, 3], &[3, 1], 0), "x": x, "y": y},
                "sym_int_values": {}
            },
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "a.weight"}},
                    {"tensor_constant": {"arg": {"name": "c_c"}, "tensor_constant_name": "c"}},
                    {"user_input": {"arg": tensor("x")}}
                ],
                "output_specs": [{"user_output": {"arg": tensor("y")}}]
            }
        },
        "schema_version": {"major": 8, "minor": 20},
        "torch_version": "2.15.0"
    });
    let stored = |file: &str, meta: Value| json!({"path_name": file, "is_param": true, "use_pickle": false, "tensor_meta": meta});
    let weights = json!({"config": {"a.weight": stored("weight_0", meta(&[2, 3], &[3, 1], 0))}});
    let constants = json!({"config": {"c": stored("tensor_0", meta(&[2], &[1], 1))}});
    let floats = |n: u8| (0..n).flat_map(|i| f32::from(i).to_le_bytes()).collect::<Vec<u8>>();
    let text = |value: Value| value.to_string().into_bytes();
    let entries = [
        (MODEL, text(model)),
        (WEIGHTS, text(weights)),
        (CONSTANTS, text(constants)),
        ("net/data/weights/weight_0", floats(6)),
        ("net/data/constants/tensor_0", floats(3)),
        ("net/data/sample_inputs/model.pt", b"a pickle".to_vec()),
        ("net/archive_format", b"pt2".to_vec()),
        ("net/archive_version", b"0".to_vec()),
        ("net/byteorder", b"little".to_vec()),
    ];
    entries.into_iter().map(|(name, bytes)| (name.into(), bytes)).collect()
}
