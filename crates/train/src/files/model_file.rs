//! Model files: a network's state alone, as PyTorch loads it, with what built the network in the metadata.

use super::checkpoint::MAGIC;
use super::foreign::{Tidied, tidy};
use super::state::{load_state, state_tensors};
use super::tensors::{Tensor, about, parse, part, to_safetensors};
use super::write::write_atomically;
use crate::error::{Error, Result};
use crate::model_info::ModelInfo;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use sph_nn::{ParamSpec, Real, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Writes a network's state, so that PyTorch's strict loading takes the file.
///
/// # Errors
/// When the file cannot be written.
pub fn save_model<T: Real>(path: &Path, store: &Store<T>, info: &ModelInfo) -> Result<()> {
    write_atomically(path, &to_safetensors(state_tensors(store), info, path)?)
}

/// A model file in memory, of this program or another.
#[derive(Debug, Clone)]
pub struct ModelFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl ModelFile {
    /// Reads the file at `path`; what is in it is looked at later.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::checkpoint(path, e.to_string()))?;
        Ok(Self::new(path, bytes))
    }

    /// The file of these bytes; `path` is for messages.
    pub fn new(path: &Path, bytes: Vec<u8>) -> Self {
        ModelFile { path: path.to_path_buf(), bytes }
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The CRC-32 of its bytes, which tells it from another one at its place.
    pub fn crc32(&self) -> u32 {
        crc32fast::hash(&self.bytes)
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        if self.bytes.starts_with(MAGIC) {
            let reason =
                "a run's checkpoint, not model state; name last.safetensors or best.safetensors beside it";
            return Err(Error::checkpoint(&self.path, reason));
        }
        // What torch.save writes is a zip file, or a pickle.
        if self.bytes.starts_with(b"PK\x03\x04") || self.bytes.starts_with(&[0x80, 2, 0x8a, 0x0a]) {
            let reason = "a pickle of torch.save; write the state with safetensors.torch.save_file(model.state_dict(), FILE)";
            return Err(Error::checkpoint(&self.path, reason));
        }
        parse(&self.path, &self.bytes)
    }

    /// Its tensors, as the network calls them, and what was done to them for it, as a line for the user.
    fn tidied<T: Real>(
        &self,
        store: &Store<T>,
    ) -> Result<(BTreeMap<String, TensorView<'_>>, Option<String>)> {
        let Tidied { tensors, done } = tidy(part(&self.tensors()?, ""), store);
        let line = (!done.is_empty()).then(|| format!("{}: {}", self.path.display(), done.join("; ")));
        Ok((tensors, line))
    }

    /// What it says about the model in it; `None` in a file that another program wrote.
    ///
    /// # Errors
    /// When it is not a safetensors file.
    pub fn info(&self) -> Result<Option<ModelInfo>> {
        let path = &self.path;
        self.tensors()?;
        let info: Option<ModelInfo> = about(path, &self.bytes)?;
        if let Some(ModelInfo { input: (_, _, channels), normalisation: n, .. }) = &info {
            let fits = n.mean.len() == *channels && n.std.len() == *channels;
            if !fits
                || n.mean.iter().any(|m| !m.is_finite())
                || n.std.iter().any(|s| !(*s > 0.0 && s.is_finite()))
            {
                let reason = format!(
                    "its metadata's normalisation is not a mean and a deviation above 0 for each of {channels} channels"
                );
                return Err(Error::checkpoint(path, reason));
            }
        }
        Ok(info)
    }

    /// Loads the model's state, strictly: every tensor of the network must be there with its shape, and no other. What wrappers and profilers
    /// leave in names and files is no tensor, and what counts batches may be missing; what was done for that is returned, for the user.
    ///
    /// # Errors
    /// Naming the first tensor that is missing, unexpected or of another shape or type. The store is unchanged then.
    pub fn load<T: Real>(&self, store: &mut Store<T>) -> Result<Option<String>> {
        let (found, done) = self.tidied(store)?;
        load_state(&self.path, &found, store)?;
        Ok(done)
    }

    /// Loads the model's state to train on from, for the classes `class_names`: as [`ModelFile::load`], but a classifier of the same width
    /// for another number of classes is left out, and the store's own stays; one for the same classes in another order is put in this one.
    /// Returns what to tell the user.
    ///
    /// # Errors
    /// As [`ModelFile::load`].
    pub fn load_to_tune<T: Real>(&self, store: &mut Store<T>, class_names: &[String]) -> Result<Vec<String>> {
        let path = &self.path;
        let (mut found, done) = self.tidied(store)?;
        let own = state_tensors(store);
        // A decoupled layer takes plain weights, too.
        let plain =
            |name: &str| name.strip_suffix("_g").or(name.strip_suffix("_v")).unwrap_or(name).to_string();
        let head: Vec<&ParamSpec> = store.specs().iter().filter(|s| s.head).collect();
        let classes = head.iter().filter(|s| s.shape.len() > 1).find_map(|s| {
            let there = found.get(&s.name).or_else(|| found.get(&plain(&s.name)))?.shape();
            let (classes, width) = there.split_first()?;
            (*width == s.shape[1..] && *classes != s.shape[0]).then_some((*classes, s.shape[0]))
        });
        if let Some((there, here)) = classes {
            for spec in &head {
                found.remove(&plain(&spec.name));
                let Tensor { dtype, shape, data } = &own[&spec.name];
                let view = TensorView::new(*dtype, shape.clone(), data);
                let view = view.map_err(|e| Error::checkpoint(path, e.to_string()))?;
                found.insert(spec.name.clone(), view);
            }
            load_state(path, &found, store)?;
            let path = path.display();
            let anew = format!(
                "the classifier begins with random values: that of {path} is for {there} classes, not {here}"
            );
            return Ok(done.into_iter().chain([anew]).collect());
        }
        let theirs = self.info()?.map(|info| info.class_names);
        let order = theirs.as_ref().and_then(|theirs| sph_data::numbers_among(class_names, theirs));
        let moved = order.as_ref().filter(|order| !order.is_sorted()).map(|order| {
            let names = head.iter().flat_map(|s| [s.name.clone(), plain(&s.name)]);
            let names = names.collect::<std::collections::BTreeSet<String>>();
            let rows = |name: String| Some((in_order(found.get(&name)?, order)?, name));
            names.into_iter().filter_map(rows).collect::<Vec<_>>()
        });
        for (Tensor { dtype, shape, data }, name) in moved.iter().flatten() {
            let view = TensorView::new(*dtype, shape.clone(), data);
            found.insert(name.clone(), view.map_err(|e| Error::checkpoint(path, e.to_string()))?);
        }
        let unknown = !head.is_empty() && order.is_none();
        load_state(path, &found, store)?;
        let unknown = unknown && (theirs.is_some() || !sph_data::only_numbered(class_names));
        let order = unknown.then(|| {
            let what =
                if theirs.is_some() { "has other names of classes" } else { "does not name its classes" };
            format!("{} {what}: the order of the data's is taken to be the same", path.display())
        });
        Ok(done.into_iter().chain(order).collect())
    }
}

/// The rows of a tensor in another order; `None` where it has not so many.
fn in_order(tensor: &TensorView, order: &[usize]) -> Option<Tensor> {
    let data = tensor.data();
    let row = data.len() / order.len();
    (tensor.shape().first() == Some(&order.len())).then(|| Tensor {
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
        data: order.iter().flat_map(|&i| &data[i * row..(i + 1) * row]).copied().collect(),
    })
}
