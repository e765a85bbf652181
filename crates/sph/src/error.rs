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
    Dataset(#[from] sph_data::DatasetError),
    /// A server does not answer, or not with what was asked for.
    #[error("{url}: {reason}")]
    Network {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The optimizer's state in a checkpoint does not fit.
    #[error("{}: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: sph_optim::StateError,
    },
    /// Settings of an optimizer that do not make sense.
    #[error("{}", flags(&.0.to_string()))]
    Optimizer(#[from] sph_optim::SettingsError),
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

/// Libraries call settings by their names in backquotes; here they are flags.
pub(crate) fn flags(message: &str) -> String {
    let mut parts = message.split('`');
    let mut out = parts.next().unwrap_or_default().to_string();
    while let Some(name) = parts.next() {
        let rest = parts.next();
        let is_name = rest.is_some()
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
        match (is_name, rest) {
            (true, Some(rest)) => out += &format!("--{name}{rest}"),
            (_, rest) => out += &format!("`{name}{}", rest.map_or(String::new(), |rest| format!("`{rest}"))),
        }
    }
    out
}

impl From<sph_data::Error> for Error {
    fn from(e: sph_data::Error) -> Self {
        match e {
            sph_data::Error::File { path, reason } => Error::Data { path, reason: flags(&reason) },
            sph_data::Error::Dataset(e) => Error::Dataset(e),
            sph_data::Error::Network { url, reason } => Error::Network { url, reason },
            sph_data::Error::Write { path, source } => Error::Write { path, source },
            e @ (sph_data::Error::Setting { .. }
            | sph_data::Error::NotTaken { .. }
            | sph_data::Error::Images(_)) => Error::Config(flags(&e.to_string())),
        }
    }
}

#[test]
fn settings_become_flags() {
    assert_eq!(flags("`image-size` 3 is less"), "--image-size 3 is less");
    assert_eq!(flags("say with `layout` or `data-dir`"), "say with --layout or --data-dir");
    assert_eq!(flags("it`s `A B` and `"), "it`s `A B` and `");
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
