//! From a tensor's entry in the list of tensors, and its bytes, to a tensor that lies within them.

use crate::error::{Place, Problem};
use crate::json::{Payload, Payloads, StoredMeta};
use crate::program::Extent;
use crate::tensor::{Dtype, Tensor};
use crate::{Error, archive::Archive, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Read, Seek};
use std::sync::Arc;

/// Folders of `data/` with tensors: parameters and buffers; buffers that are no state, and constants.
const FOLDERS: [&str; 2] = ["weights", "constants"];

/// All tensors of an archive, by name.
pub fn read<R: Read + Seek>(archive: &mut Archive<R>) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut tensors = BTreeMap::new();
    // Bytes of all of them, laid out.
    let (mut laid_out, mut storages) = (0u64, 0);
    for folder in FOLDERS {
        let list = archive.config(folder);
        let text = archive.read(&list)?;
        let payloads: Payloads = json::parse(&text).map_err(|problem| archive.error(&list, problem))?;
        let mut files: BTreeMap<String, (usize, Arc<[u8]>)> = BTreeMap::new();
        for (name, payload) in payloads.config.0 {
            let at = |problem| Error { path: None, place: Place::Tensor(name.clone()), problem };
            let meta = described(&payload).map_err(at)?;
            let file = &payload.path_name;
            let entry = format!("data/{folder}/{file}");
            if !files.contains_key(file) {
                files.insert(file.clone(), (storages, archive.read_shared(&entry)?));
                storages += 1;
            }
            let (storage, bytes) = files[file].clone();
            let tensor = view(meta, &entry, storage, bytes).map_err(at)?;
            // Extents of 0 count as 1, so that no product of some of the extents overflows later.
            let elements = tensor.shape.iter().fold(1u64, |n, &e| n.saturating_mul(e.max(1) as u64));
            let size = tensor.dtype.size().unwrap_or_default() as u64;
            laid_out = laid_out.saturating_add(elements.saturating_mul(size));
            if laid_out > archive.limit() {
                let (shape, bytes) = (tensor.shape, tensor.bytes.len());
                return Err(at(Problem::Expanded { shape, bytes, limit: archive.limit() }));
            }
            match tensors.entry(name) {
                Entry::Vacant(free) => free.insert(tensor),
                Entry::Occupied(taken) => {
                    let problem = Problem::Remade(taken.key().clone());
                    return Err(archive.error(&list, problem));
                }
            };
        }
    }
    Ok(tensors)
}

/// What the list says of a tensor, if it is a plain one.
fn described(payload: &Payload) -> Result<&StoredMeta, Problem> {
    /// The number of dense tensors among the layouts.
    const STRIDED: i64 = 7;
    if payload.use_pickle {
        return Err(Problem::Pickled);
    }
    let file = &payload.path_name;
    if file.is_empty() || file == ".." || file == "." || file.contains(['/', '\\']) {
        return Err(Problem::FileName(file.clone()));
    }
    let meta = payload.tensor_meta.as_ref().ok_or(Problem::NoMeta)?;
    if meta.layout != STRIDED { Err(Problem::Layout(meta.layout)) } else { Ok(meta) }
}

/// A number of elements.
fn number(what: &'static str, extent: &Extent) -> Result<usize, Problem> {
    let wrong = |value: String| Problem::Number { what, value };
    match extent {
        Extent::Fixed(value) => usize::try_from(*value).map_err(|_| wrong(value.to_string())),
        Extent::Symbolic { expression, .. } => Err(wrong(expression.clone())),
    }
}

/// The tensor that lies in the bytes as it is described; none of its elements lies elsewhere.
fn view(meta: &StoredMeta, entry: &str, storage: usize, bytes: Arc<[u8]>) -> Result<Tensor, Problem> {
    let dtype = Dtype::from_number(meta.dtype);
    let size = dtype.size().ok_or(Problem::Elements(dtype))?;
    if !bytes.len().is_multiple_of(size) {
        return Err(Problem::Uneven { entry: entry.into(), bytes: bytes.len(), size });
    }
    let numbers =
        |what, extents: &[Extent]| extents.iter().map(|e| number(what, e)).collect::<Result<Vec<usize>, _>>();
    let shape = numbers("extent", &meta.sizes)?;
    let strides = numbers("stride", &meta.strides)?;
    let offset = number("storage offset", &meta.storage_offset)?;
    if shape.len() != strides.len() {
        return Err(Problem::Axes { extents: shape.len(), strides: strides.len() });
    }
    let elements = bytes.len() / size;
    if !shape.contains(&0) {
        // Extents and steps are below 2⁶⁴, and there are fewer axes than that.
        let reach = shape
            .iter()
            .zip(&strides)
            .fold(offset as u128, |end, (&n, &step)| end.saturating_add((n as u128 - 1) * step as u128));
        if reach >= elements as u128 {
            let end = reach.saturating_add(1).to_string();
            return Err(Problem::Outside { end, entry: entry.into(), bytes: bytes.len(), elements });
        }
    }
    Ok(Tensor { dtype, shape, strides, offset, storage, bytes, requires_grad: meta.requires_grad })
}
