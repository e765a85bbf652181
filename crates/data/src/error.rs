//! What can be wrong with data.

use std::path::{Path, PathBuf};

/// An error of this crate. Settings stand in backquotes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A data file is missing, truncated or of another kind.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A setting that is missing, or does not fit the data.
    #[error("`{setting}`{} {reason}", value.as_ref().map_or(String::new(), |v| format!(" {v}")))]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value, where that is what does not fit.
        value: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that a data set does not have.
    #[error("the data set {dataset} does not take `{setting}`; {} {}", takers.join(", "), if takers.len() == 1 { "does" } else { "do" })]
    NotTaken {
        /// The data set.
        dataset: String,
        /// The setting's name.
        setting: &'static str,
        /// The data sets that have it.
        takers: Vec<&'static str>,
    },
    /// Images and labels that make no data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Images of a class that a network has no output for.
    #[error(
        "the class '{class}' of the data is none of the network's: {known}; rename it, or leave its images out"
    )]
    UnknownClass {
        /// Its name.
        class: String,
        /// The network's classes, for people.
        known: String,
    },
    /// More classes than a network has outputs, where no names tell which are which.
    #[error("the data has {found} classes, the network {known}")]
    TooManyClasses {
        /// Classes of the data.
        found: usize,
        /// Classes of the network.
        known: usize,
    },
    /// Images that cannot be corrupted.
    #[error("{0}")]
    Images(String),
    /// A server does not answer, or not with what was asked for.
    #[error("{url}: {reason}")]
    Network {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Something could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Images and labels that make no data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {part} images: {reason}")]
pub struct DatasetError {
    /// `training` or `test`.
    pub part: &'static str,
    /// What is wrong with them.
    pub reason: String,
}

impl Error {
    /// `path` is not what it should be, for `reason`.
    pub fn file(path: &Path, reason: impl Into<String>) -> Self {
        Error::File { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn setting(setting: &'static str, value: Option<&str>, reason: impl Into<String>) -> Self {
        Error::Setting { setting, value: value.map(String::from), reason: reason.into() }
    }

    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Error::Write { path: path.to_path_buf(), source }
    }
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
