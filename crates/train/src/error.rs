//! What can go wrong in training, adapting and comparing. Settings stand in backquotes.

use std::path::{Path, PathBuf};

/// An error of this crate. Settings stand in backquotes (`` `val-split` ``), as in [`sph_data::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is missing, or is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model file or checkpoint that cannot be used.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder in which no run can begin or go on.
    #[error("{} {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What stands in the way, and what to do.
        reason: String,
    },
    /// Another comparison is at work.
    #[error("another comparison is at work in {}; wait for its end, or choose another `output`", .0.display())]
    Locked(PathBuf),
    /// Something could not be written. What was there before is untouched.
    #[error("cannot write {}: {source}; what was written before is whole", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Two outputs would be one file.
    #[error("{} is named for two outputs", path.display())]
    SameOutput {
        /// The file.
        path: PathBuf,
    },
    /// A setting that does not fit the data.
    #[error("`{name}` {value} {reason}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A random change of training images that the samples cannot have.
    #[error("the augmentation {name} {reason}; leave it out")]
    Augmentation {
        /// Its name in the table.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// Training and test images of two sizes.
    #[error("the training images are {train}, the test images {test}; `image-size` makes them the same")]
    Sizes {
        /// Height, width and channels of the training images.
        train: String,
        /// Those of the test images.
        test: String,
    },
    /// A run that would go on with other images than it was begun with.
    #[error(
        "the images or labels of {dataset} are not those that {} was begun with; bring them back, name their place with `data-dir`, or begin a new run",
        run.display()
    )]
    OtherData {
        /// The data set.
        dataset: String,
        /// The run's folder.
        run: PathBuf,
    },
    /// A network would be judged by images that it was trained on.
    #[error(
        "`val-split` {val_split}: {} was trained on some of these images; {}train it with `val-split` {val_split}",
        network.display(),
        if *held_out > 0.0 {
            format!("lower the fraction to {held_out} (of a comparison's trials with `tuning-val-split` {held_out}), or ")
        } else {
            String::new()
        }
    )]
    TrainedOn {
        /// The network's file or run.
        network: PathBuf,
        /// The fraction that was asked for.
        val_split: f64,
        /// The fraction that the network's training held out.
        held_out: f64,
    },
    /// No images are left to adapt to, or to evaluate on.
    #[error("`{setting}`: no images are left for it with `val-split` {val_split}")]
    NoImages {
        /// Which images.
        setting: &'static str,
        /// The fraction that is held out.
        val_split: f64,
    },
    /// Fewer images than one batch takes.
    #[error("a batch of {batch} is more than the {images} images to adapt to")]
    BatchTooLarge {
        /// Images in a batch.
        batch: usize,
        /// Images there are.
        images: usize,
    },
    /// A network whose graph is in a file that is not there.
    #[error("the network is that of '{model}' (SHA-256 {}…), which is not beside it; name the file with `model`", &digest[..digest.len().min(12)])]
    NoGraph {
        /// The name of the file.
        model: String,
        /// Its SHA-256 in hexadecimal digits.
        digest: String,
    },
    /// A name that no table has.
    #[error("unknown name '{0}'")]
    UnknownName(String),
    /// A network that cannot be built.
    #[error(transparent)]
    Model(#[from] sph_nn::models::ModelError),
    /// A data set that a model was loaded without.
    #[error("the data set was not read")]
    NoData,
    /// A network that ONNX cannot express.
    #[error("{}{reason}", op.map_or(String::new(), |op| format!("the op '{op}' cannot be written to ONNX: ")))]
    Onnx {
        /// The op, where it is one.
        op: Option<&'static str>,
        /// Why.
        reason: String,
    },
    /// A network of tokens for images that are not square.
    #[error("{model} in PyTorch takes square images, not {height}×{width}; export to onnx")]
    NotSquare {
        /// The model.
        model: String,
        /// The images' height.
        height: usize,
        /// The images' width.
        width: usize,
    },
    /// The loss, an update or the state became infinite or NaN.
    #[error(transparent)]
    Diverged(Divergence),
    /// A network's outputs in an evaluation are infinite or NaN.
    #[error("the loss is not finite; the first non-finite values are in {place}")]
    NotFinite {
        /// The first layer or parameter whose values are not finite.
        place: String,
    },
    /// All labels that a network is to be evaluated on are ignored.
    #[error("no label counts: all are {}, which counts nowhere", sph_data::sets::labels::IGNORED_LABEL)]
    NothingCounts,
    /// Data or a network that is to be adapted and has no classes of images.
    #[error("adaptation is of networks that tell classes of images")]
    NoClasses,
    /// The model and the data do not fit each other.
    #[error(transparent)]
    Layer(#[from] sph_nn::LayerError),
    /// The data cannot be read or divided.
    #[error(transparent)]
    Data(#[from] sph_data::Error),
    /// The optimizer's state in a checkpoint does not fit.
    #[error("{}: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: sph_optim::StateError,
    },
    /// A loss could not be evaluated.
    #[error(transparent)]
    Evaluation(#[from] sph_optim::EvalError),
}

/// Where a training, an adaptation or a measurement ended because something became infinite or NaN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} is not finite at step {step}{}{}; {advice}{}",
    epoch.map_or(String::new(), |epoch| format!(" (epoch {epoch})")),
    place.as_ref().map_or(String::new(), |place| format!("; the first non-finite values are in {place}")),
    kept.as_ref().map_or(String::new(), |kept| format!("; {kept}")),
)]
pub struct Divergence {
    /// The training loss, the loss in evaluation, an update, or a parameter.
    pub what: String,
    /// The step, counted from 1 over the whole run.
    pub step: u64,
    /// The epoch, counted from 1, where there are epochs.
    pub epoch: Option<usize>,
    /// The first layer or parameter whose values are not finite, where there is one.
    pub place: Option<String>,
    /// What to do; settings stand in backquotes.
    pub advice: &'static str,
    /// Which checkpoint is kept, where there are any.
    pub kept: Option<String>,
}

impl Error {
    /// `path` is not what it should be, for `reason`.
    pub fn file(path: &Path, reason: impl Into<String>) -> Self {
        Error::File { path: path.to_path_buf(), reason: reason.into() }
    }

    /// The model file or checkpoint at `path` cannot be used, for `reason`.
    pub fn checkpoint(path: &Path, reason: impl Into<String>) -> Self {
        Error::Checkpoint { path: path.to_path_buf(), reason: reason.into() }
    }

    /// `path` cannot be written to.
    pub fn write(path: &Path, source: std::io::Error) -> Self {
        Error::Write { path: path.to_path_buf(), source }
    }

    pub(crate) fn setting(name: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Error::Setting { name, value: value.to_string(), reason: reason.into() }
    }
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
