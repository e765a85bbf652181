//! The errors of the command: each names the flag, file, tensor, layer or value, and what to do.

use std::path::Path;

/// What can go wrong in a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that does not make sense, alone or with others.
    #[error("{0}")]
    Config(String),
    /// In training, adapting, comparing or their files.
    #[error("{}", flags(&.0.to_string()))]
    Train(#[from] sph_train::Error),
    /// In reading or dividing data.
    #[error("{}", flags(&.0.to_string()))]
    Data(#[from] sph_data::Error),
    /// In the tuning rule of a comparison.
    #[error(transparent)]
    Tuning(#[from] sph_train::compare::TuningError),
    /// Settings of an optimizer that do not make sense.
    #[error("{}", flags(&.0.to_string()))]
    Optimizer(#[from] sph_optim::SettingsError),
    /// In drawing a page or a picture.
    #[error("{}", flags(&.0.to_string()))]
    Report(#[from] sph_report::Error),
}

impl Error {
    /// The exit code of what was interrupted, as a shell reports it for Ctrl-C.
    pub const INTERRUPTED: i32 = 130;
    /// The exit code of what diverged.
    pub const DIVERGED: i32 = 3;

    /// The exit code of a command that ends with this error: 3 for divergence, else 2.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Train(sph_train::Error::Diverged(_)) => Self::DIVERGED,
            _ => 2,
        }
    }

    /// The file at `path` is not what it should be.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        sph_train::Error::file(path, reason).into()
    }

    /// `path` cannot be written to.
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        sph_train::Error::write(path, source).into()
    }
}

impl From<sph_nn::LayerError> for Error {
    fn from(e: sph_nn::LayerError) -> Self {
        sph_train::Error::from(e).into()
    }
}

impl From<sph_nn::models::ModelError> for Error {
    fn from(e: sph_nn::models::ModelError) -> Self {
        sph_train::Error::from(e).into()
    }
}

impl From<sph_optim::EvalError> for Error {
    fn from(e: sph_optim::EvalError) -> Self {
        sph_train::Error::from(e).into()
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

#[test]
fn settings_become_flags() {
    assert_eq!(flags("`image-size` 3 is less"), "--image-size 3 is less");
    assert_eq!(flags("say with `layout` or `data-dir`"), "say with --layout or --data-dir");
    assert_eq!(flags("it`s `A B` and `"), "it`s `A B` and `");
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
