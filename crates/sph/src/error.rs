//! The errors of this crate: each names the file, key, tensor, layer or value, and what to do.

use std::path::{Path, PathBuf};

/// What can go wrong in a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A data file is missing, truncated or of another kind.
    #[error("{}: {reason}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that does not make sense, alone or with others.
    #[error("{0}")]
    Config(String),
    /// A model file or checkpoint that cannot be used.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something could not be written. What was there before is untouched.
    #[error("cannot write {}: {source}; what was written before is whole", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
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
    /// The model and the data do not fit each other.
    #[error(transparent)]
    Layer(#[from] sph_nn::LayerError),
    /// Images and labels that make no data set.
    #[error(transparent)]
    Dataset(#[from] crate::data::DatasetError),
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
    Evaluation(sph_optim::EvalError),
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
    /// What to do.
    pub advice: &'static str,
    /// Which checkpoint is kept, where there are any.
    pub kept: Option<String>,
}

impl Error {
    /// The exit code of what was interrupted, as a shell reports it for Ctrl-C.
    pub const INTERRUPTED: i32 = 130;
    /// The exit code of what diverged.
    pub const DIVERGED: i32 = 3;

    /// The exit code of a command that ends with this error: 3 for divergence, else 2.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Diverged(_) => Self::DIVERGED,
            _ => 2,
        }
    }

    pub(crate) fn data(path: &Path, reason: impl Into<String>) -> Self {
        Error::Data { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn checkpoint(path: &Path, reason: impl Into<String>) -> Self {
        Error::Checkpoint { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Error::Write { path: path.to_path_buf(), source }
    }
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
