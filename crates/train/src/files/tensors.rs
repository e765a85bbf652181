//! Tensors in safetensors files.

use crate::error::{Error, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};
use serde::Serialize;
use sph_nn::{BufferKind, BufferSpec, Real};
use sph_tensor::{Array, DType};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A tensor on its way to a file.
pub struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<u8>,
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

impl Tensor {
    /// Values of type `T`.
    pub fn real<T: Real>(shape: &[usize], values: &[T]) -> Self {
        let (dtype, data) = match T::DTYPE {
            DType::F32 => {
                (Dtype::F32, values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect())
            }
            DType::F64 => (Dtype::F64, values.iter().flat_map(|v| v.to_f64().to_le_bytes()).collect()),
        };
        Tensor { dtype, shape: shape.to_vec(), data }
    }

    /// Whole numbers.
    pub fn int(shape: &[usize], values: impl IntoIterator<Item = i64>) -> Self {
        let data = values.into_iter().flat_map(i64::to_le_bytes).collect();
        Tensor { dtype: Dtype::I64, shape: shape.to_vec(), data }
    }

    /// A buffer of a network.
    pub fn buffer<T: Real>(spec: &BufferSpec, values: &[f64]) -> Self {
        match spec.kind {
            BufferKind::Whole => Tensor::int(&spec.shape, values.iter().map(|v| *v as i64)),
            BufferKind::Bool => {
                let data = values.iter().map(|v| u8::from(*v != 0.0)).collect();
                Tensor { dtype: Dtype::BOOL, shape: spec.shape.clone(), data }
            }
            BufferKind::Real => {
                let values: Vec<T> = values.iter().map(|v| T::from_f64(*v)).collect();
                Tensor::real(&spec.shape, &values)
            }
        }
    }

    pub(super) fn array<T: Real>(array: &Array<T>) -> Self {
        Tensor::real(array.shape().dims(), array.as_slice())
    }
}

/// A safetensors file in memory.
///
/// # Errors
/// When `path`'s tensors cannot be put into the format.
pub fn to_safetensors(
    tensors: BTreeMap<String, Tensor>,
    about: &impl Serialize,
    path: &Path,
) -> Result<Vec<u8>> {
    let fail = |e: String| Error::checkpoint(path, e);
    // One entry only: the format writes entries in the order of a hash map, which differs from run to run.
    let about = serde_json::to_string(about).map_err(|e| fail(e.to_string()))?;
    let metadata = HashMap::from([(ABOUT.to_string(), about)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|e| fail(e.to_string()))
}

/// The metadata entry that holds what a file says about itself, as JSON.
const ABOUT: &str = "sph";

/// What a file says about itself; `None` when it does not, or not in these terms.
pub(super) fn about<A: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Option<A>> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|e| Error::checkpoint(path, e.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get(ABOUT));
    Ok(text.and_then(|text| serde_json::from_str(text).ok()))
}

/// The file in `bytes`.
pub(super) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::checkpoint(path, format!("not a whole safetensors file ({e})")))
}

/// The tensors whose names begin with `prefix`, without it.
pub(super) fn part<'a>(file: &SafeTensors<'a>, prefix: &str) -> BTreeMap<String, TensorView<'a>> {
    let strip = |(name, view): (String, TensorView<'a>)| Some((name.strip_prefix(prefix)?.to_string(), view));
    file.tensors().into_iter().filter_map(strip).collect()
}

/// The values of a tensor; `None` when they are of a type that no state has.
pub(super) fn decode(view: &TensorView<'_>) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|b| value(*b)).collect()
    }
    match view.dtype() {
        Dtype::F64 => Some(each(view.data(), f64::from_le_bytes)),
        Dtype::I64 => Some(each(view.data(), |b| i64::from_le_bytes(b) as f64)),
        Dtype::F32 => Some(each(view.data(), |b| f32::from_le_bytes(b).into())),
        Dtype::F16 => Some(each(view.data(), |b| half::f16::from_le_bytes(b).into())),
        Dtype::BF16 => Some(each(view.data(), |b| half::bf16::from_le_bytes(b).into())),
        Dtype::I32 => Some(each(view.data(), |b| i32::from_le_bytes(b).into())),
        Dtype::BOOL => Some(view.data().iter().map(|b| f64::from(*b)).collect()),
        _ => None,
    }
}
