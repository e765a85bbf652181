//! The settings that a comparison's runs have: those of `sph train`, or of `sph adapt`.

use crate::config::{AdaptArgs, NOT_SETTINGS, TrainArgs, by_name, difference, keys};
use crate::error::Result;
use clap::{Command, CommandFactory};
use sph_train::compare::{Job, NOTHING};

/// The command of a job, with all its flags.
pub fn command(job: Job) -> Command {
    match job {
        Job::Train => TrainArgs::command(),
        Job::Adapt => AdaptArgs::command(),
    }
}

/// Whether a comparison takes a flag as a setting of its runs.
pub fn is_setting(job: Job, name: &str) -> bool {
    let other = match job {
        Job::Train => false,
        Job::Adapt => ["csv", "output", "eval-on"].contains(&name),
    };
    !other
        && !NOT_SETTINGS.contains(&name)
        && !job.places().contains(&name)
        && !["opt", "help"].contains(&name)
}

/// The names of a job's settings; `command` is the job's.
pub fn settings(job: Job, command: &Command) -> impl Iterator<Item = &str> {
    keys(command).filter(move |k| is_setting(job, k))
}

/// All settings of a run.
#[derive(Debug, Clone)]
pub enum RunArgs {
    /// Of a training.
    Train(Box<TrainArgs>),
    /// Of an adaptation.
    Adapt(Box<AdaptArgs>),
}

impl RunArgs {
    /// From flags' names (without dashes) and values.
    ///
    /// # Errors
    /// When a value is wrong, or settings do not fit each other.
    pub fn from_settings(job: Job, settings: &[(String, String)], seed: u64) -> Result<Self> {
        match job {
            Job::Train => Ok(RunArgs::Train(Box::new(TrainArgs::from_settings(settings.iter(), seed)?))),
            Job::Adapt => {
                // Without a corruption there is nothing that its seed could seed.
                let nothing = settings.iter().any(|(name, value)| name == "corrupt" && value == NOTHING);
                let given = settings
                    .iter()
                    .filter(|(name, _)| !(nothing && ["corrupt", "corrupt-seed"].contains(&&**name)));
                Ok(RunArgs::Adapt(Box::new(AdaptArgs::from_settings(given, seed)?)))
            }
        }
    }

    /// The settings that make it what it is, by names.
    ///
    /// # Errors
    /// When a value has no form as text (a path that is not Unicode).
    pub fn settings(&self) -> Result<serde_json::Value> {
        match self {
            RunArgs::Train(args) => by_name(args),
            RunArgs::Adapt(args) => args.settings(),
        }
    }

    /// The first setting that is another one in `there`, the settings of a record, with both values.
    ///
    /// # Errors
    /// When a value has no form as text (a path that is not Unicode).
    pub fn difference(&self, there: &serde_json::Value) -> Result<Option<String>> {
        // Through the parser: the record of an older program may lack what has its default here.
        let parsed = match self {
            RunArgs::Train(args) => {
                let text = toml::to_string(there).ok();
                let there = text.and_then(|text| TrainArgs::from_toml(&text, "settings of a record").ok());
                if let Some(there) = there {
                    return args.difference(&there);
                }
                None
            }
            RunArgs::Adapt(_) => {
                AdaptArgs::from_record(there).ok().map(|args| args.settings()).transpose()?
            }
        };
        Ok(difference(&self.settings()?, parsed.as_ref().unwrap_or(there)))
    }

    /// What the run is.
    pub fn job(&self) -> Job {
        match self {
            RunArgs::Train(_) => Job::Train,
            RunArgs::Adapt(_) => Job::Adapt,
        }
    }

    /// Seed of a run.
    pub fn seed(&self) -> u64 {
        match self {
            RunArgs::Train(args) => args.seed,
            RunArgs::Adapt(args) => args.seed,
        }
    }

    /// How many rows its results have in the end: epochs or steps.
    pub fn length(&self) -> usize {
        match self {
            RunArgs::Train(args) => args.epochs,
            RunArgs::Adapt(args) => args.steps,
        }
    }

    /// How much longer it takes than a trial, which holds images out, as far as the settings tell.
    pub fn longer_than(&self, trial: &RunArgs) -> f64 {
        match (self, trial) {
            (RunArgs::Train(run), RunArgs::Train(trial)) => {
                // Held-out images are missed where all others are trained on.
                let images = |args: &TrainArgs| args.labels.map_or(1.0 - args.val_split, |_| 1.0);
                let work = |args: &TrainArgs| args.epochs as f64 * images(args);
                work(run) / work(trial)
            }
            _ => self.length() as f64 / trial.length() as f64,
        }
    }
}
