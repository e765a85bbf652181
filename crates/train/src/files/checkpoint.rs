//! Checkpoints: what a run goes on from, in one file.

use super::progress::{Progress, VERSION, Version};
use super::state::{load_state, state_tensors};
use super::tensors::{Tensor, about, decode, parse, part, to_safetensors};
use super::write::write_atomically;
use crate::error::{Error, Result};
use sph_nn::{Real, Store};
use sph_optim::StateDict;
use sph_tensor::{Array, Pool, Shape};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How names of tensors in a checkpoint begin.
const MODEL: &str = "model.";
const AVERAGE: &str = "average.";
const OPTIMIZER: &str = "optimizer.";

/// First bytes of a checkpoint; a CRC-32 of the rest follows.
pub(super) const MAGIC: &[u8; 8] = b"SPHCKPT\x01";

/// Writes a checkpoint: the model's state, its average where there is one, the optimizer's state, and the run's progress, under a
/// checksum.
///
/// # Errors
/// When it cannot be written; the one before is kept.
pub(crate) fn save<T: Real>(
    path: &Path,
    store: &Store<T>,
    average: Option<&Store<T>>,
    optimizer: &StateDict<T>,
    progress: &Progress,
) -> Result<()> {
    let stores = std::iter::once((MODEL, store)).chain(average.map(|a| (AVERAGE, a)));
    let under = |(prefix, store): (&str, &Store<T>)| {
        let name = |(name, tensor)| (format!("{prefix}{name}"), tensor);
        state_tensors(store).into_iter().map(name).collect::<Vec<_>>()
    };
    let mut tensors: BTreeMap<String, Tensor> = stores.flat_map(under).collect();
    tensors.extend(optimizer.arrays.iter().map(|(name, a)| (format!("{OPTIMIZER}{name}"), Tensor::array(a))));
    let record = (progress, &optimizer.numbers);
    let body = to_safetensors(tensors, &record, path)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(crc32fast::hash(&body).to_le_bytes());
    bytes.extend(body);
    write_atomically(path, &bytes)
}

/// A checkpoint's bytes, verified.
pub struct Checkpoint {
    path: PathBuf,
    body: Vec<u8>,
    /// The run's progress.
    pub progress: Progress,
    numbers: BTreeMap<String, u64>,
}

impl Checkpoint {
    /// Reads and verifies the checkpoint at `path`.
    ///
    /// # Errors
    /// When it is missing, damaged, or of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::checkpoint(path, e.to_string()))?;
        Self::parse(path, bytes)
    }

    /// Verifies a checkpoint's bytes; `path` is for messages.
    ///
    /// # Errors
    /// When it is damaged, or of another version.
    pub fn parse(path: &Path, mut bytes: Vec<u8>) -> Result<Self> {
        let fail = |reason: &str| Error::checkpoint(path, reason);
        if bytes.len() < 12 || &bytes[..8] != MAGIC {
            return Err(fail("not a checkpoint of this program"));
        }
        let crc = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        bytes.drain(..12);
        if crc32fast::hash(&bytes) != crc {
            return Err(fail("damaged: the checksum does not match"));
        }
        let (version, _) = about::<(Version, serde_json::Value)>(path, &bytes)?
            .ok_or_else(|| fail("it has no record of a run's progress"))?;
        if version.version != VERSION {
            let v = version.version;
            return Err(fail(&format!(
                "version {v}; this program reads version {VERSION}; train again with the settings in args.toml beside it"
            )));
        }
        let (progress, numbers) =
            about(path, &bytes)?.ok_or_else(|| fail("its record of progress is incomplete"))?;
        Ok(Checkpoint { path: path.to_path_buf(), body: bytes, progress, numbers })
    }

    /// Loads the model's state into `store` and returns the optimizer's.
    ///
    /// # Errors
    /// When the checkpoint is another model's.
    pub fn restore<T: Real>(&self, store: &mut Store<T>, pool: &Pool<T>) -> Result<StateDict<T>> {
        let file = parse(&self.path, &self.body)?;
        let mut state = StateDict { arrays: BTreeMap::new(), numbers: self.numbers.clone() };
        for (name, view) in part(&file, OPTIMIZER) {
            let fail =
                |reason: &str| Error::checkpoint(&self.path, format!("optimizer state '{name}' {reason}"));
            if view.shape().len() > 6 {
                return Err(fail("has too many dimensions"));
            }
            let values = decode(&view).ok_or_else(|| fail("has another type"))?;
            let values: Vec<T> = values.into_iter().map(T::from_f64).collect();
            state.arrays.insert(name, Array::from_slice(pool, Shape::new(view.shape()), &values));
        }
        load_state(&self.path, &part(&file, MODEL), store)?;
        Ok(state)
    }

    /// Loads the average of weights into `store`.
    ///
    /// # Errors
    /// When there is none, or it is another model's.
    pub fn restore_average<T: Real>(&self, store: &mut Store<T>) -> Result<()> {
        load_state(&self.path, &part(&parse(&self.path, &self.body)?, AVERAGE), store)
    }
}
