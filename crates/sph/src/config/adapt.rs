//! Settings of an adaptation.

use super::file::flags_of_settings;
use super::optimizer::for_adaptation;
use super::values::{below_one, between, count, losses_of_classes, names, row, seed, threads};
use super::{KernelArgs, ModelSource, OptArgs, by_name, flags_of_toml};
use crate::error::{Error, Result};
use clap::builder::TypedValueParser;
use clap::{Args, Command, FromArgMatches};
use serde::Serialize;
use sph_data::corrupt::Corruption;
use sph_nn::losses::{LOSSES, Loss};
use sph_optim::presets::{Context, Task};
use sph_train::adaptation::{AdaptOn, EvalOn, Keep};
use std::path::PathBuf;

/// Adapt a trained network to other data by its 1-D parameters alone.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(
    allow_negative_numbers = true,
    mut_args(for_adaptation),
    after_help = "Only the scales and shifts of norms, the magnitudes and biases of decoupled layers are trained, unless --trainable says \
                  otherwise; no gradient of the rest is computed. BatchNorm normalizes by the batch while training; before every evaluation \
                  its running statistics are taken anew over the data that is adapted to. docs/adapt.md says more.\n\nExamples:\n  \
                  sph adapt --checkpoint runs/first --corrupt gaussian_noise:3 --labels 100\n  sph adapt --checkpoint runs/first --corrupt \
                  fog:5 --loss entropy --opt adam --lr 0.001\n  sph adapt --checkpoint best.safetensors --dataset npz --data-dir new.npz --opt \
                  krylov --krylov-size 12 --steps 20 --eval-at 5,10 --output adapted.safetensors"
)]
pub struct AdaptArgs {
    // In the order of the help.
    /// Model and data.
    #[command(flatten)]
    #[serde(flatten)]
    pub source: ModelSource,
    /// Corrupt all images, those adapted to and those evaluated on: `sph data corrupt --help` lists corruptions; severities are 1 to 5.
    #[arg(long, value_name = "NAME:SEVERITY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corruption>,
    /// Seed of the corruption, not changed by --seed: the same images for every run [default: 42].
    #[arg(long, value_parser = seed, value_name = "SEED")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt_seed: Option<u64>,
    /// Labelled training images per class that are adapted to [default: all].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// Images that are adapted to; the test images without their labels only, with --loss entropy.
    #[arg(long, default_value = "train", value_parser = values(&AdaptOn::ALL))]
    pub adapt_on: AdaptOn,
    /// Images that are evaluated on; validation images are to tune settings with, and are never adapted to.
    #[arg(long, default_value = "test", value_parser = values(&EvalOn::ALL))]
    pub eval_on: EvalOn,
    /// Evaluate on so many of those images, drawn class by class, the same for every run, or on all where there are fewer [default: all].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_images: Option<usize>,
    /// Fraction of the training images held out for validation [default: that of the run].
    #[arg(long, value_parser = below_one, value_name = "FRACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_split: Option<f64>,
    /// The folder of a run, whose best epoch is taken, or a model file.
    #[arg(long, value_name = "RUN|FILE")]
    pub checkpoint: PathBuf,
    /// Optimizer and its settings.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptArgs,
    /// What is minimised.
    #[arg(long, default_value = "cross-entropy", value_parser = losses_of_classes())]
    pub loss: String,
    /// Evaluate, and write, the mean of what is trained over the last half of the steps, instead of the last point [default: true for sph and
    /// krylov, false for others and preset seed].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_steps: Option<bool>,
    /// Steps.
    #[arg(long, default_value = "50", value_parser = count)]
    pub steps: usize,
    /// Images per batch, or all where there are fewer.
    #[arg(short, long, default_value = "128", value_parser = count)]
    pub batch_size: usize,
    /// Evaluate after these steps, too.
    #[arg(long, value_delimiter = ',', value_parser = count, value_name = "STEPS")]
    pub eval_at: Vec<usize>,
    /// Which of the evaluated points is kept, and written: before, recalibrated, after each of --eval-at and at the end.
    #[arg(long, default_value = "best", value_parser = values(&Keep::ALL))]
    pub keep: Keep,
    /// Fraction of the labelled images of each class that is not adapted to and chooses the point that is kept [default: 0.2].
    #[arg(long, value_parser = between, value_name = "FRACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_split: Option<f64>,
    /// Batches over which BatchNorm's statistics are taken before an evaluation, or all where there are fewer.
    #[arg(long, default_value = "32", value_parser = count, value_name = "N")]
    pub recalibrate_batches: usize,
    /// Write the adapted model to this file.
    #[arg(short, long, value_name = "FILE.safetensors")]
    #[serde(skip)]
    pub output: Option<PathBuf>,
    /// Write a row per step to this file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub csv: Option<PathBuf>,
    /// Seed of labelled images, order and probes.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Worker threads [default: all cores]; the results do not depend on it.
    #[arg(long, value_parser = threads)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Print one JSON object on stdout: settings, losses and seconds of every step, evaluations.
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// Leave when stdin ends: for programs that start adaptations.
    #[arg(long)]
    #[serde(skip)]
    pub stop_on_eof: bool,
    /// Kernels.
    #[command(flatten)]
    #[serde(flatten)]
    pub kernels: KernelArgs,
}

/// A parser of the values that a table names.
fn values<V: Copy + Send + Sync + 'static>(
    table: &'static [(&'static str, V, &'static str)],
) -> impl TypedValueParser<Value = V> {
    names(table.iter().map(|row| (row.0, row.2)))
        .try_map(|name| row(table, |row| row.0, &name).map(|row| row.1))
}

impl AdaptArgs {
    /// The default of `--corrupt-seed`.
    pub const CORRUPT_SEED: u64 = 42;

    /// The command's name and flags, for settings that do not come from its command line: a comparison names networks beside them.
    pub(crate) fn command() -> Command {
        Self::augment_args(Command::new("adapt"))
            .mut_arg("checkpoint", |a| a.required(false))
            .args_override_self(true)
            .allow_negative_numbers(true)
    }

    /// Settings given by flags' names (without dashes) and values.
    ///
    /// # Errors
    /// When a value is wrong, or settings do not fit each other.
    pub fn from_settings<'s>(
        settings: impl Iterator<Item = &'s (String, String)>,
        seed: u64,
    ) -> Result<Self> {
        let command = Self::command();
        let flags = flags_of_settings(settings, seed, &command)?;
        let matches = command.try_get_matches_from(std::iter::once("adapt".to_string()).chain(flags));
        let args = matches.and_then(|m| Self::from_arg_matches(&m));
        args?.resolved()
    }

    /// With the optimizer's settings for adaptation where none are given.
    ///
    /// # Errors
    /// When settings do not fit each other.
    pub fn resolved(mut self) -> Result<Self> {
        let loss = self.loss()?;
        let task = Task::Adapt { labels: loss != Loss::Entropy, batch: None };
        let cx = Context { task, ..Context::default() };
        let optimizer = self.optimizer.suited(&cx)?;
        let lr = optimizer.lr()?;
        if optimizer.choice()?.settings(&cx).switch("average-steps") {
            self.average_steps.get_or_insert(true);
        }
        self.optimizer = optimizer.with_lr(lr);
        match self.corrupt {
            Some(_) => drop(self.corrupt_seed.get_or_insert(Self::CORRUPT_SEED)),
            None if self.corrupt_seed.is_some() => {
                return Err(Error::needs("corrupt-seed", "--corrupt"));
            }
            None => (),
        }
        let steps = self.steps;
        if let Some(at) = self.eval_at.iter().find(|at| **at > steps) {
            return Err(Error::flag("eval-at", at.to_string(), format!("is beyond --steps {steps}")));
        }
        if loss == Loss::Entropy && self.labels.is_some() {
            return Err(Error::flag("loss", self.loss.clone(), "takes no labels; leave --labels out"));
        }
        match (self.keep, loss) {
            (Keep::Best, Loss::CrossEntropy) => drop(self.keep_split.get_or_insert(0.2)),
            (Keep::Last, _) if self.keep_split.is_some() => {
                return Err(Error::needs("keep-split", "--keep best"));
            }
            (_, Loss::Entropy) if self.keep_split.is_some() => {
                let reason = "is of labelled images, which --loss entropy does without; leave it out";
                return Err(Error::flag("keep-split", None, reason));
            }
            _ => (),
        }
        if loss != Loss::Entropy && self.adapt_on == AdaptOn::Test {
            return Err(Error::flag(
                "adapt-on",
                "test".to_string(),
                "needs --loss entropy, which looks at no labels",
            ));
        }
        Ok(self)
    }

    /// What is minimised.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn loss(&self) -> Result<Loss> {
        Ok(row(LOSSES, |l| l.0, &self.loss)?.1)
    }

    /// The settings that make an adaptation what it is, as flags.
    ///
    /// # Errors
    /// When a value has no form as text (a path that is not Unicode).
    pub fn flags(&self) -> Result<Vec<String>> {
        let text = toml::to_string(self).map_err(|e| Error::Unwritable(e.to_string()))?;
        flags_of_toml(&text, &Self::command(), "settings")
    }

    /// The same by names, as they stand in the record of `--json`.
    ///
    /// # Errors
    /// As [`AdaptArgs::flags`].
    pub fn settings(&self) -> Result<serde_json::Value> {
        by_name(self)
    }

    /// Settings as they stand in a record; what an older program left out is at its default.
    ///
    /// # Errors
    /// When they are not settings of an adaptation.
    pub fn from_record(record: &serde_json::Value) -> Result<Self> {
        let origin = "settings of a record";
        let mut record = record.clone();
        // Older records kept the last point, and did not say so.
        if let Some(settings) = record.as_object_mut() {
            settings.entry("keep").or_insert("last".into());
        }
        let text = toml::to_string(&record).map_err(|e| Error::settings(origin, e))?;
        let command = Self::command();
        let flags = flags_of_toml(&text, &command, origin)?;
        let matches = command.try_get_matches_from(std::iter::once("adapt".to_string()).chain(flags));
        let args = matches.and_then(|m| Self::from_arg_matches(&m));
        let mut args = args?;
        // Older records have it always.
        if args.corrupt.is_none() {
            args.corrupt_seed = None;
        }
        Ok(args)
    }
}
