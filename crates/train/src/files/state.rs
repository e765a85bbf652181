//! A network's state, parameters and buffers, as tensors under PyTorch's names.

use super::tensors::{Tensor, decode};
use crate::error::{Error, Result};
use safetensors::tensor::TensorView;
use sph_nn::{BufferKind, Real, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The tensors of a network's state under PyTorch's names.
pub(crate) fn state_tensors<T: Real>(store: &Store<T>) -> BTreeMap<String, Tensor> {
    let params = store.specs().iter().zip(&store.values);
    let mut tensors = BTreeMap::new();
    for (spec, value) in params {
        for name in spec.aliases.iter().chain([&spec.name]) {
            tensors.insert(name.clone(), Tensor::real(&spec.shape, value.as_slice()));
        }
    }
    for (spec, values) in store.buffer_specs().iter().zip(&store.buffers) {
        tensors.insert(spec.name.clone(), Tensor::buffer::<T>(spec, values));
    }
    tensors
}

/// Puts tensors into a network's state, strictly: every one of its tensors must be there with its shape, and no other. `path` is for
/// messages.
pub(super) fn load_state<T: Real>(
    path: &Path,
    found: &BTreeMap<String, TensorView<'_>>,
    store: &mut Store<T>,
) -> Result<()> {
    let fail =
        |reason: String| Error::checkpoint(path, format!("{reason}; is it the checkpoint of another model?"));
    let mut values = store.values.clone();
    let mut buffers = store.buffers.clone();
    let mut known = BTreeSet::new();
    let mut fetch = |name: &str, shape: &[usize]| -> Result<Vec<f64>> {
        known.insert(name.to_string());
        let view = found.get(name).ok_or_else(|| fail(format!("tensor '{name}' {shape:?} is missing")))?;
        if view.shape() != shape {
            return Err(fail(format!(
                "tensor '{name}' has shape {:?}, the model needs {shape:?}",
                view.shape()
            )));
        }
        let read = decode(view).ok_or_else(|| {
            fail(format!(
                "tensor '{name}' has type {:?}; F32, F64, F16, BF16, I64 or I32 is expected",
                view.dtype()
            ))
        })?;
        match read.iter().all(|v| v.is_finite()) {
            true => Ok(read),
            false => Err(Error::checkpoint(path, format!("tensor '{name}' has values that are not finite"))),
        }
    };
    for (i, spec) in store.specs().iter().enumerate() {
        // A decoupled layer takes plain weights, too: directions V = W, magnitudes ‖W_i‖ compute the same function.
        let plain = |part: &str| {
            let name = format!("{}.weight", spec.name.strip_suffix(part)?);
            (!found.contains_key(&spec.name) && found.contains_key(&name)).then_some(name)
        };
        if let Some(name) = plain(".weight_g") {
            let directions = format!("{}_v", name);
            let v = store.specs().iter().position(|s| s.name == directions).map(|v| values[v].clone());
            let v = v.ok_or_else(|| fail(format!("tensor '{}' is missing", spec.name)))?;
            for row in 0..spec.len() {
                let norm = sph_nn::row_norm(&v, row);
                if norm == 0.0 {
                    let layer = name.trim_end_matches(".weight");
                    let reason =
                        format!("layer '{layer}' cannot be decoupled: row {row} of its weights is zero");
                    return Err(Error::checkpoint(path, reason));
                }
                values[i].make_mut()[row] = T::from_f64(norm);
            }
            continue;
        }
        let read = fetch(&plain(".weight_v").unwrap_or(spec.name.clone()), &spec.shape)?;
        // Files may leave the other names of tied weights out; what they hold there must be the same.
        for alias in spec.aliases.iter().filter(|a| found.contains_key(*a)) {
            if fetch(alias, &spec.shape)? != read {
                let (name, of) = (alias, &spec.name);
                return Err(Error::checkpoint(
                    path,
                    format!("tensor '{name}' differs from '{of}', to which the model ties it"),
                ));
            }
        }
        values[i].make_mut().iter_mut().zip(read).for_each(|(v, r)| *v = T::from_f64(r));
    }
    for (spec, buffer) in store.buffer_specs().iter().zip(&mut buffers) {
        let read = fetch(&spec.name, &spec.shape)?;
        if spec.name.ends_with("running_var") && read.iter().any(|v| *v < 0.0) {
            return Err(Error::checkpoint(path, format!("tensor '{}' has negative variances", spec.name)));
        }
        if spec.fixed && read[..] != spec.init[..] {
            let name = &spec.name;
            return Err(Error::checkpoint(
                path,
                format!("tensor '{name}' differs from that of the network, which is built from it"),
            ));
        }
        let round = |r: f64| if spec.kind == BufferKind::Real { T::from_f64(r).to_f64() } else { r };
        *buffer = read.into_iter().map(round).collect();
    }
    if let Some(name) = found.keys().find(|name| !known.contains(*name)) {
        return Err(fail(format!("tensor '{name}' {:?} is not in the model", found[name].shape())));
    }
    store.values = values;
    store.buffers = buffers;
    Ok(())
}
