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
    #[error(
        "{what} is not finite at step {step} (epoch {epoch}); the first non-finite values are in {place}; lower --lr or raise \
         --warmup-epochs; {kept}"
    )]
    Diverged {
        /// The training loss, the loss in evaluation, an update, or a parameter.
        what: String,
        /// The step, counted from 1 over the whole run.
        step: u64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// The first layer or parameter whose values are not finite.
        place: String,
        /// Which checkpoint is kept.
        kept: String,
    },
    /// A network's outputs in an evaluation are infinite or NaN.
    #[error("the loss is not finite; the first non-finite values are in {place}")]
    NotFinite {
        /// The first layer or parameter whose values are not finite.
        place: String,
    },
    /// The model and the data do not fit each other.
    #[error(transparent)]
    Layer(#[from] sph_nn::LayerError),
    /// The optimizer's state does not fit.
    #[error(transparent)]
    State(#[from] sph_optim::StateError),
    /// A loss could not be evaluated.
    #[error(transparent)]
    Evaluation(sph_optim::EvalError),
}

impl Error {
    /// The exit code of what was interrupted.
    pub const INTERRUPTED: i32 = 130;

    /// Whether what a program wrote as its error is [`Error::Diverged`], or its like from `sph adapt`.
    pub(crate) fn tells_of_divergence(message: &str) -> bool {
        message.contains(" is not finite at step ")
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
