//! PyTorch: a safetensors file of the network's state, and a Python module that loads it.

use crate::error::{Error, Result};
use crate::files::{Tensor, state_tensors, to_safetensors};
use crate::model_info::ModelInfo;
use crate::objective::Objective;
use sph_nn::{Role, models};
use std::path::Path;

/// The networks in PyTorch, the file that this program is checked against.
const NETWORKS: &str = include_str!("../../../../tools/pytorch_models.py");

/// The network's state under PyTorch's names; magnitudes and directions are multiplied out to plain weights, so that a network
/// without decoupling loads it. `path` is for messages.
///
/// # Errors
/// When the tensors cannot be put into the format.
pub fn state(objective: &Objective<f32>, info: &ModelInfo, path: &Path) -> Result<Vec<u8>> {
    let store = &objective.store;
    let mut tensors = state_tensors(store);
    for (v, spec) in store.specs().iter().enumerate().filter(|(_, s)| s.role == Role::Direction) {
        let Some(weight) = spec.name.strip_suffix("_v") else { continue };
        let magnitudes = format!("{weight}_g");
        let Some(g) = store.specs().iter().position(|s| s.name == magnitudes) else { continue };
        let (directions, gamma) = (&store.values[v], store.values[g].as_slice());
        let row = |(i, gamma): (usize, &f32)| {
            let scale = f64::from(*gamma) / sph_nn::row_norm(directions, i);
            directions.part(i).iter().map(move |v| (f64::from(*v) * scale) as f32).collect::<Vec<_>>()
        };
        let plain: Vec<f32> = gamma.iter().enumerate().flat_map(row).collect();
        tensors.remove(&spec.name);
        tensors.remove(&magnitudes);
        tensors.insert(weight.to_string(), Tensor::real(&spec.shape, &plain));
    }
    to_safetensors(tensors, &ModelInfo { decouple: false, ..info.clone() }, path)
}

/// A Python module that builds the network, loads `file` (beside it) and predicts.
///
/// # Errors
/// For transformers of images that are not square: the networks in PyTorch are for those.
pub fn module(info: &ModelInfo, file: &str) -> Result<String> {
    // JSON's strings and lists are Python's, too.
    let json = |v: serde_json::Value| v.to_string();
    let (h, w, c) = info.input;
    let stem = info.stem.as_ref().map_or("None".into(), |s| json(serde_json::json!(s)));
    // An MLP reads all values alike; convolutions only care whether images are small.
    let tokens = models::find(&info.model).is_ok_and(|m| m.tokens);
    let (channels, side) = if info.model == "mlp" { (c * h * w, 1) } else { (c, h.min(w)) };
    if tokens && h != w {
        return Err(Error::NotSquare { model: info.model.clone(), height: h, width: w });
    }
    Ok(format!(
        r#"{NETWORKS}

# What follows loads {name} with the networks above:
#
#     from {stem_of_file} import classes, net, predict
#     probabilities = predict(images)  # N×{c}×{h}×{w}, on the scale of the data files

from pathlib import Path

from safetensors.torch import load_file

classes = {classes}
net = build({model}, in_channels={channels}, image_size={side}, num_classes={n}, norm={norm}, stem={stem})
net.load_state_dict(load_file(Path(__file__).with_name({name})), strict=True)
net.eval()
mean = torch.tensor({mean}).view(1, -1, 1, 1)
std = torch.tensor({std}).view(1, -1, 1, 1)


@torch.no_grad()
def predict(images):
    """Probabilities of the classes, N×{n}, for images N×{c}×{h}×{w} on the scale of the data files."""
    return net((images - mean) / std).softmax(1)
"#,
        name = json(serde_json::json!(file)),
        stem_of_file = file.trim_end_matches(".safetensors"),
        classes = json(serde_json::json!(info.class_names)),
        model = json(serde_json::json!(info.model)),
        norm = json(serde_json::json!(info.norm)),
        n = info.class_names.len(),
        mean = json(serde_json::json!(info.normalisation.mean)),
        std = json(serde_json::json!(info.normalisation.std)),
    ))
}
