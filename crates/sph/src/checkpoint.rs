//! Files of a run: model state that PyTorch loads, and checkpoints that a run goes on from.
//!
//! Everything is written to a temporary file in the same folder, synced and renamed: a file is either the old one or the
//! new one, whole.

use crate::error::{Error, Result};
use crate::model_info::ModelInfo;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use sph_nn::{BufferKind, ParamSpec, Real, Store};
use sph_optim::StateDict;
use sph_tensor::{Array, DType, Pool, Shape};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How names of files that are being written begin.
pub(crate) const TEMPORARY: &str = ".sph-";

/// Replaces the file at `path` by `bytes`, whole or not at all.
///
/// # Errors
/// When the folder cannot be written to; the file is as it was then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let (target, mut file) = temporary(path)?;
    // The temporary file's name in the system's message would only confuse.
    let error = |e: std::io::Error| Error::write(path, e.kind().into());
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    moment();
    file.write_all(first).map_err(error)?;
    moment();
    file.write_all(rest).map_err(error)?;
    moment();
    file.as_file().sync_all().map_err(error)?;
    moment();
    file.persist(&target).map_err(|e| error(e.error))?;
    moment();
    // The rename itself; where folders cannot be synced the file is still whole.
    if let Ok(dir) = std::fs::File::open(folder(&target)) {
        let _ = dir.sync_all();
    }
    moment();
    Ok(())
}

/// Between two steps of writing; a test ends the process here.
#[cfg(not(all(test, unix)))]
pub(crate) fn moment() {}
#[cfg(all(test, unix))]
pub(crate) use crate::killed::moment;

/// Finds out whether [`write_atomically`] could write to `path` now, before a long computation. Leaves nothing.
///
/// # Errors
/// When it could not.
pub fn check_writable(path: &Path) -> Result<()> {
    temporary(path).map(|_| ())
}

/// [`check_writable`] of several outputs of one command, which must be several files.
///
/// # Errors
/// When one could not be written, or two are the same, however they are spelled.
pub fn check_outputs<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<()> {
    let mut places: Vec<PathBuf> = Vec::new();
    for path in paths {
        check_writable(path)?;
        let folder = folder(path).canonicalize().unwrap_or(folder(path).to_path_buf());
        let place = path.canonicalize().unwrap_or(folder.join(path.file_name().unwrap_or_default()));
        if places.contains(&place) {
            return Err(Error::Config(format!("{} is named for two outputs", path.display())));
        }
        places.push(place);
    }
    Ok(())
}

/// The file that `path` leads to, and a temporary one beside it.
fn temporary(path: &Path) -> Result<(PathBuf, NamedTempFile)> {
    // A link is followed; what is not a file is left alone.
    let target = path.canonicalize().unwrap_or(path.to_path_buf());
    if target.exists() && !target.is_file() {
        let reason = "there is something that is not a file";
        return Err(Error::write(&target, std::io::Error::new(std::io::ErrorKind::AlreadyExists, reason)));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // As files are usually made: readable by whom the user's umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder(&target)).map_err(|e| Error::write(path, e.kind().into()))?;
    Ok((target, file))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A tensor on its way to a file.
pub(crate) struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
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
    pub(crate) fn real<T: Real>(shape: &[usize], values: &[T]) -> Self {
        let (dtype, data) = match T::DTYPE {
            DType::F32 => {
                (Dtype::F32, values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect())
            }
            DType::F64 => (Dtype::F64, values.iter().flat_map(|v| v.to_f64().to_le_bytes()).collect()),
        };
        Tensor { dtype, shape: shape.to_vec(), data }
    }

    /// Whole numbers.
    pub(crate) fn int(shape: &[usize], values: impl IntoIterator<Item = i64>) -> Self {
        let data = values.into_iter().flat_map(i64::to_le_bytes).collect();
        Tensor { dtype: Dtype::I64, shape: shape.to_vec(), data }
    }

    fn array<T: Real>(array: &Array<T>) -> Self {
        Tensor::real(array.shape().dims(), array.as_slice())
    }
}

/// A safetensors file in memory.
///
/// # Errors
/// When `path`'s tensors cannot be put into the format.
pub(crate) fn to_safetensors(
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
fn about<A: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Option<A>> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|e| Error::checkpoint(path, e.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get(ABOUT));
    Ok(text.and_then(|text| serde_json::from_str(text).ok()))
}

/// The tensors of a network's state under PyTorch's names.
pub(crate) fn state_tensors<T: Real>(store: &Store<T>) -> BTreeMap<String, Tensor> {
    let params = store.specs().iter().zip(&store.values);
    let mut tensors: BTreeMap<_, _> =
        params.map(|(s, v)| (s.name.clone(), Tensor::real(&s.shape, v.as_slice()))).collect();
    for (spec, values) in store.buffer_specs().iter().zip(&store.buffers) {
        let tensor = match spec.kind {
            BufferKind::Count => Tensor::int(&[], values.iter().map(|v| *v as i64)),
            BufferKind::Statistic => {
                let values: Vec<T> = values.iter().map(|v| T::from_f64(*v)).collect();
                Tensor::real(&[spec.len], &values)
            }
        };
        tensors.insert(spec.name.clone(), tensor);
    }
    tensors
}

/// Writes the model's state alone, so that PyTorch's strict loading takes the file.
///
/// # Errors
/// When the file cannot be written.
pub fn save_model<T: Real>(path: &Path, store: &Store<T>, info: &ModelInfo) -> Result<()> {
    write_atomically(path, &to_safetensors(state_tensors(store), info, path)?)
}

/// The bytes of a model file.
///
/// # Errors
/// When it cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::checkpoint(path, e.to_string()))
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    if bytes.starts_with(MAGIC) {
        let reason =
            "a run's checkpoint, not model state; name last.safetensors or best.safetensors beside it";
        return Err(Error::checkpoint(path, reason));
    }
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::checkpoint(path, format!("not a whole safetensors file ({e})")))
}

/// What the file says about the model in it; `None` in a file that another program wrote.
///
/// # Errors
/// When it is not a safetensors file.
pub fn model_info(path: &Path, bytes: &[u8]) -> Result<Option<ModelInfo>> {
    parse(path, bytes)?;
    let info: Option<ModelInfo> = about(path, bytes)?;
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

/// Loads a model's state, strictly: every tensor of the network must be there with its shape, and no other.
///
/// # Errors
/// Naming the first tensor that is missing, unexpected or of another shape or type. The store is unchanged then.
pub fn load_model<T: Real>(path: &Path, bytes: &[u8], store: &mut Store<T>) -> Result<()> {
    let file = parse(path, bytes)?;
    load_state(path, &part(&file, ""), store)
}

/// Loads a model's state to train on from: as [`load_model`], but a classifier of the same width for another number of classes is left
/// out, and the store's own stays; then what to tell the user is returned.
///
/// # Errors
/// As [`load_model`].
pub fn load_to_tune<T: Real>(path: &Path, bytes: &[u8], store: &mut Store<T>) -> Result<Option<String>> {
    let file = parse(path, bytes)?;
    let mut found = part(&file, "");
    let own = state_tensors(store);
    // A decoupled layer takes plain weights, too.
    let plain = |name: &str| name.strip_suffix("_g").or(name.strip_suffix("_v")).unwrap_or(name).to_string();
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
        return Ok(Some(format!(
            "the classifier begins with random values: that of {path} is for {there} classes, not {here}"
        )));
    }
    load_state(path, &found, store)?;
    Ok(None)
}

fn load_state<T: Real>(
    path: &Path,
    found: &BTreeMap<String, TensorView<'_>>,
    store: &mut Store<T>,
) -> Result<()> {
    let fail =
        |reason: String| Error::checkpoint(path, format!("{reason}; is it the checkpoint of another model?"));
    let mut values = store.values.clone();
    let mut buffers = store.buffers.clone();
    let mut known = std::collections::BTreeSet::new();
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
            fail(format!("tensor '{name}' has type {:?}; F32, F64 or I64 is expected", view.dtype()))
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
        values[i].make_mut().iter_mut().zip(read).for_each(|(v, r)| *v = T::from_f64(r));
    }
    for (spec, buffer) in store.buffer_specs().iter().zip(&mut buffers) {
        let shape: &[usize] = if spec.kind == BufferKind::Count { &[] } else { &[spec.len] };
        let read = fetch(&spec.name, shape)?;
        if spec.name.ends_with("running_var") && read.iter().any(|v| *v < 0.0) {
            return Err(Error::checkpoint(path, format!("tensor '{}' has negative variances", spec.name)));
        }
        let round = |r: f64| if spec.kind == BufferKind::Count { r } else { T::from_f64(r).to_f64() };
        *buffer = read.into_iter().map(round).collect();
    }
    if let Some(name) = found.keys().find(|name| !known.contains(*name)) {
        return Err(fail(format!("tensor '{name}' {:?} is not in the model", found[name].shape())));
    }
    store.values = values;
    store.buffers = buffers;
    Ok(())
}

fn decode(view: &TensorView<'_>) -> Option<Vec<f64>> {
    let eight = || view.data().chunks_exact(8).map(|w| <[u8; 8]>::try_from(w).unwrap_or_default());
    match view.dtype() {
        Dtype::F64 => Some(eight().map(f64::from_le_bytes).collect()),
        Dtype::I64 => Some(eight().map(|w| i64::from_le_bytes(w) as f64).collect()),
        Dtype::F32 => {
            let words = view.data().chunks_exact(4).map(|w| <[u8; 4]>::try_from(w).unwrap_or_default());
            Some(words.map(|w| f32::from_le_bytes(w) as f64).collect())
        }
        _ => None,
    }
}

/// Everything a run goes on from, beside tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this record.
    pub version: u32,
    /// The run's settings, as in `args.toml`.
    pub args: String,
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// Steps of it already taken.
    pub step: usize,
    /// Sum of batch losses, correct answers and images of the epoch under way.
    pub sums: EpochSums,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Loss and accuracy on the test images after the last epoch.
    pub last: Option<(f64, f64)>,
    /// The best epoch of the average of weights so far.
    pub best_average: Option<Best>,
    /// Loss and accuracy of the average of weights after the last epoch.
    pub last_average: Option<(f64, f64)>,
    /// Seconds spent so far.
    pub seconds: f64,
    /// CPU seconds of its processes so far; 0 where the system does not tell, and before this was kept.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// CRC-32 of the images and labels; `None` before this was kept.
    #[serde(default)]
    pub data_crc32: Option<u32>,
}

impl Progress {
    /// Of a run with these settings before its first step; `data_crc32` is that of its images and labels.
    pub fn new(args: String, data_crc32: u32) -> Self {
        Progress {
            version: VERSION,
            args,
            epoch: 0,
            step: 0,
            sums: EpochSums::default(),
            best: None,
            last: None,
            best_average: None,
            last_average: None,
            seconds: 0.0,
            cpu_seconds: 0.0,
            data_crc32: Some(data_crc32),
        }
    }
}

/// An epoch that was better than all before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The accuracy it was chosen by: on held-out images where there are any, else on the test images.
    pub chosen_by: f64,
    /// Loss on the test images.
    pub test_loss: f64,
    /// Accuracy on the test images.
    pub test_accuracy: f64,
}

/// The current version of [`Progress`].
pub const VERSION: u32 = 2;

/// What an epoch has added up so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochSums {
    /// Sum over images of the loss.
    pub loss: f64,
    /// Images classified correctly before their step.
    pub correct: u64,
    /// Images seen.
    pub images: u64,
}

/// The part of [`Progress`] that every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// How names of tensors in a checkpoint begin.
const MODEL: &str = "model.";
const AVERAGE: &str = "average.";
const OPTIMIZER: &str = "optimizer.";

/// First bytes of a checkpoint; a CRC-32 of the rest follows.
const MAGIC: &[u8; 8] = b"SPHCKPT\x01";

/// Writes a checkpoint: the model's state, its average where there is one, the optimizer's state, and the run's progress, under a
/// checksum.
///
/// # Errors
/// When it cannot be written; the one before is kept.
pub fn save<T: Real>(
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
    path: std::path::PathBuf,
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
        Self::parse(path, read_file(path)?)
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

/// The tensors whose names begin with `prefix`, without it.
fn part<'a>(file: &SafeTensors<'a>, prefix: &str) -> BTreeMap<String, TensorView<'a>> {
    let strip = |(name, view): (String, TensorView<'a>)| Some((name.strip_prefix(prefix)?.to_string(), view));
    file.tensors().into_iter().filter_map(strip).collect()
}
