//! The errors of the command: each names the flag, file, tensor, layer or value, and what to do.

use crate::help;
use clap::error::{ContextKind, ContextValue};
use sph_data::pictures::listed;
use std::path::{Path, PathBuf};

/// What can go wrong in a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// clap's view of a command line; help and version come this way, too.
    #[error("{}", one_line(.0))]
    CommandLine(#[from] clap::Error),
    /// A flag whose value does not make sense, alone or with others.
    #[error("--{flag}{} {reason}", value.as_ref().map_or(String::new(), |v| format!(" {v}")))]
    Flag {
        /// Its name, without dashes in front.
        flag: String,
        /// Its value, where that is what is wrong.
        value: Option<String>,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A flag that means nothing without another.
    #[error("--{flag} needs {needs}")]
    Needs {
        /// Its name, without dashes in front.
        flag: String,
        /// The other one.
        needs: &'static str,
    },
    /// A command line that is not Unicode.
    #[error("{0:?} is not Unicode; name files and folders in Unicode")]
    NotUnicode(std::ffi::OsString),
    /// A file of settings, or what a record says of them.
    #[error("{origin}: {}{reason}", key.as_ref().map_or(String::new(), |key| format!("key '{key}': ")))]
    Settings {
        /// The file, or what the settings are of.
        origin: String,
        /// The key that is wrong, where it is one.
        key: Option<String>,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Settings that have no form as text.
    #[error("settings cannot be written: {0}")]
    Unwritable(String),
    /// A network without a name.
    #[error("{}name {}", path.as_ref().map_or(String::new(), |path| format!("{path} does not name its model; ")), if path.is_some() { "it with --model" } else { "a --model or a --checkpoint" })]
    NoModel {
        /// The network's file, where there is one.
        path: Option<String>,
    },
    /// A folder that holds a run with other settings.
    #[error("{} holds a run with other settings: {difference}; choose another --{other}{}", path.display(), advice.as_ref().map_or(", or remove it".into(), |a| format!(", or {a}")))]
    OtherSettings {
        /// The folder or record.
        path: PathBuf,
        /// The first setting that differs, with both values.
        difference: String,
        /// The flag that names another place.
        other: &'static str,
        /// What else can be done, instead of removing it.
        advice: Option<String>,
    },
    /// A comparison that cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A run of a comparison whose settings or data do not fit.
    #[error("{run}: {source}")]
    Run {
        /// The run.
        run: String,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A program that does not start.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A network whose outputs for an image are infinite or NaN.
    #[error("{input}: the network's outputs are not finite")]
    NotFinite {
        /// The image.
        input: String,
    },
    /// Inputs of a prediction that cannot be read; the others were predicted.
    #[error("{}", match &failed[..] {
        [(input, reason)] if *inputs == 1 => format!("{input}: {reason}"),
        _ => {
            let each = listed(failed.iter().map(|(input, reason)| format!("{input} ({reason})")));
            format!("{} of {inputs} inputs cannot be predicted: {each}", failed.len())
        }
    })]
    Inputs {
        /// How many there are.
        inputs: usize,
        /// Those, and why.
        failed: Vec<(String, String)>,
    },
    /// In analysing a Hessian.
    #[error(transparent)]
    Analysis(sph_optim::analysis::AnalysisError),
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

/// What is wrong with the plan of a comparison.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Two runs of one name.
    #[error(
        "two runs of this comparison are called {0}: seeds, data sets, models and values are named once, optimizers have a 'name' each"
    )]
    SameName(String),
    /// A run whose name no file can have.
    #[error(
        "{0} is too long for the name of a file: give the optimizer a shorter 'name', or the network a shorter path"
    )]
    LongName(String),
    /// A range without trials.
    #[error(
        "'{setting}' of '{optimizer}' has a range, which only trials are drawn from: add [tuning] with 'trials', or list its values"
    )]
    RangeWithoutTrials {
        /// The setting.
        setting: String,
        /// The optimizer.
        optimizer: String,
    },
    /// Trials of nothing.
    #[error(
        "nothing is to be tried: trials are of ranges and of an optimizer's own lists, such as lr of --grid lr=log:0.01,1 or --grid \
         sgd.lr=0.1,0.2; a common list is run, not tried"
    )]
    NothingToTry,
    /// A budget of CPU time that cannot be kept.
    #[error("this system does not tell the CPU time of a run: leave the budget out, or lower the trials")]
    NoCpuTime,
    /// A network that may have seen the images that are to judge it.
    #[error(
        "{0} does not tell which images it was trained on, so none of them can judge trials; name the folder of its run, or train it \
         again"
    )]
    UnknownTraining(String),
    /// A tuning rule without trials.
    #[error("--tuning-{0} needs --tuning-trials ('{0}' of [tuning] in a file: 'trials')")]
    NoTrials(&'static str),
    /// Optimizers named in two ways.
    #[error("a file has either 'opt' or [[optimizer]]")]
    TwoLists,
}

impl Error {
    /// A flag, the value where that is what is wrong, and what to do.
    pub(crate) fn flag(flag: &str, value: impl Into<Option<String>>, reason: impl Into<String>) -> Self {
        Error::Flag { flag: flag.into(), value: value.into(), reason: reason.into() }
    }

    /// A flag that means nothing without another.
    pub(crate) fn needs(flag: &str, needs: &'static str) -> Self {
        Error::Needs { flag: flag.into(), needs }
    }

    /// What is wrong with settings that come from `origin`.
    pub(crate) fn settings(origin: &str, reason: impl std::fmt::Display) -> Self {
        Error::Settings { origin: origin.into(), key: None, reason: reason.to_string() }
    }

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

/// A clap error as one line: what is wrong, then its tips.
pub(crate) fn one_line(e: &clap::Error) -> String {
    if let Some(message) = renamed(e) {
        return message;
    }
    let text = e.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let first =
        text.lines().take_while(|l| !l.trim().is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
    let tips = text.lines().filter_map(|l| l.trim().strip_prefix("tip: ")).map(|t| format!("; {t}"));
    first + &tips.collect::<String>()
}

/// What to say of a flag that has another name now.
fn renamed(e: &clap::Error) -> Option<String> {
    let text = |kind| match e.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?;
    // As `Usage: sph train [OPTIONS]`.
    let usage = text(ContextKind::Usage)?;
    let command = usage.split_whitespace().skip_while(|word| *word != "sph").nth(1)?;
    let new = help::renamed(flag.trim_start_matches('-'), |of, _| of == command)?;
    Some(format!("{flag} of sph {command} is --{new} now"))
}

/// A message as one line, whatever a path, a name or a key in a file contains.
pub fn in_one_line(message: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(escaped).collect()
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
