//! What the runs of a comparison are: trainings, or adaptations of trained networks.

use crate::config::{AdaptArgs, NOT_SETTINGS, TrainArgs, by_name, difference, keys};
use crate::error::Result;
use clap::{Command, CommandFactory};

/// The command that each run of a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Job {
    /// `sph train`.
    #[default]
    Train,
    /// `sph adapt`.
    Adapt,
}

impl Job {
    /// Its name, and all its flags.
    pub fn command(self) -> Command {
        match self {
            Job::Train => TrainArgs::command(),
            Job::Adapt => AdaptArgs::command(),
        }
    }

    /// The two settings that say what optimizers are compared on: what a run reads, and which network.
    pub fn places(self) -> [&'static str; 2] {
        match self {
            Job::Train => ["dataset", "model"],
            Job::Adapt => ["corrupt", "checkpoint"],
        }
    }

    /// The place of a run in words.
    pub fn place(self, data: &str, network: &str) -> String {
        match (self, data) {
            (Job::Train, _) => format!("{network} on {data}"),
            (Job::Adapt, NOTHING) => format!("{network}, no corruption"),
            (Job::Adapt, _) => format!("{network} under {data}"),
        }
    }

    /// Whether a comparison takes a flag as a setting of its runs.
    pub fn is_setting(self, name: &str) -> bool {
        let places = self.places();
        let other = match self {
            Job::Train => false,
            Job::Adapt => ["csv", "output", "eval-on"].contains(&name),
        };
        !other && !NOT_SETTINGS.contains(&name) && !places.contains(&name) && !["opt", "help"].contains(&name)
    }

    /// The names of its settings.
    pub fn settings(self, command: &Command) -> impl Iterator<Item = &str> {
        keys(command).filter(move |k| self.is_setting(k))
    }

    /// What a row of its results is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Job::Train => "epoch",
            Job::Adapt => "step",
        }
    }
}

/// The corruption of an adaptation to images as they are.
pub const NOTHING: &str = "none";

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
            RunArgs::Train(_) => toml::to_string(there)
                .ok()
                .and_then(|text| TrainArgs::from_toml(&text, "settings of a record").ok())
                .map(|args| by_name(&args)),
            RunArgs::Adapt(_) => AdaptArgs::from_record(there).ok().map(|args| args.settings()),
        };
        let parsed = parsed.transpose()?;
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
