//! `sph adapt`: a trained network made to fit other data by its 1-D parameters alone.

use crate::adaptation::{AdaptData, AdaptSettings, Adapted, Measured, adapt};
use crate::checkpoint::{check_writable, save_model, write_atomically};
use crate::compare::job::Job;
use crate::config::{
    KernelArgs, OptArgs, adapt_optimizers, below_one, by_name, count, difference, flags_of_toml, names, row,
    seed, shown, threads,
};
use crate::corrupt::{Corruption, Corruptor, Range};
use crate::data::loader::Source;
use crate::data::{ImageSet, per_class};
use crate::error::{Error, Result};
use crate::model_source::{Found, ModelSource};
use crate::objective::Objective;
use crate::timing;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use sph_nn::losses::{LOSSES, Loss};
use sph_tensor::Pool;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Adapt a trained network to other data by its 1-D parameters alone.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(
    allow_negative_numbers = true,
    mut_arg("opt", |a| a.value_parser(adapt_optimizers())),
    mut_arg("trainable", |a| a.default_value("second-order")),
    mut_arg("lr", |a| a.help("Learning rate, constant [default: 0.1; krylov: 0.5; adam, adamw: 0.03; a tenth of it with --loss entropy]")),
    mut_arg("momentum", |a| a.help("Momentum of sph, sgd and of krylov's other parameters [default: sph: 0; others: 0.9]")),
    mut_arg("tau", |a| a.help("Scale τ of sph's direction [default: 1; preset seed: 0.001]")),
    mut_arg("eps", |a| a.help("Damping ε of sph and krylov, added to rectified curvature [default: sph: 0.03; krylov: 0.1; preset seed: 0.0001]")),
    mut_arg("probe", |a| a.help("Probe sequence of sph [default: rademacher; preset seed: ones]")),
    mut_arg("curvature_schedule", |a| a.help("Which blocks sph visits at which step [default: joint, or all where the probe cannot be joint; preset seed: cyclic]")),
    after_help = "Only the scales and shifts of norms, the magnitudes and biases of decoupled layers are trained, unless --trainable says \
                  otherwise; no gradient of the rest is computed. BatchNorm normalizes by the batch while training; before every evaluation \
                  its running statistics are taken anew over the data that is adapted to. docs/adapt.md says more.\n\nExamples:\n  \
                  sph adapt --checkpoint runs/first --corrupt gaussian_noise:3 --labels 100\n  sph adapt --checkpoint runs/first --corrupt \
                  fog:5 --loss entropy --opt adam --lr 0.001\n  sph adapt --checkpoint best.safetensors --dataset npz --data-dir new.npz --opt \
                  krylov --krylov-size 12 --steps 20 --eval-at 5,10 --output adapted.safetensors"
)]
pub struct AdaptArgs {
    /// The folder of a run, whose best epoch is taken, or a model file.
    #[arg(long, value_name = "RUN|FILE")]
    pub checkpoint: PathBuf,
    /// Corrupt all images, those adapted to and those evaluated on: `sph data corrupt --help` lists corruptions; severities are 1 to 5.
    #[arg(long, value_name = "NAME:SEVERITY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corruption>,
    /// Seed of the corruption, not changed by --seed: the same images for every run.
    #[arg(long, default_value_t = 42, value_parser = seed, value_name = "SEED")]
    pub corrupt_seed: u64,
    /// Labelled training images per class that are adapted to [default: all].
    #[arg(long, value_parser = count, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// What is minimised.
    #[arg(long, default_value = "cross-entropy", value_parser = names(LOSSES.iter().map(|l| (l.0, l.2))))]
    pub loss: String,
    /// Images that are adapted to; the test images without their labels only, with --loss entropy.
    #[arg(long, value_enum, default_value = "train")]
    pub adapt_on: AdaptOn,
    /// Images that are evaluated on; validation images are to tune settings with, and are never adapted to.
    #[arg(long, value_enum, default_value = "test")]
    pub eval_on: EvalOn,
    /// Fraction of the training images held out for validation [default: that of the run].
    #[arg(long, value_parser = below_one, value_name = "FRACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_split: Option<f64>,
    /// Steps.
    #[arg(long, default_value = "50", value_parser = count)]
    pub steps: usize,
    /// Images per batch, or all where there are fewer.
    #[arg(short, long, default_value = "128", value_parser = count)]
    pub batch_size: usize,
    /// Evaluate after these steps, too.
    #[arg(long, value_delimiter = ',', value_parser = count, value_name = "STEPS")]
    pub eval_at: Vec<usize>,
    /// Batches over which BatchNorm's statistics are taken before an evaluation, or all where there are fewer.
    #[arg(long, default_value = "32", value_parser = count, value_name = "N")]
    pub recalibrate_batches: usize,
    /// Seed of labelled images, order and probes.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Write a row per step to this file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub csv: Option<PathBuf>,
    /// Write the adapted model to this file.
    #[arg(short, long, value_name = "FILE.safetensors")]
    #[serde(skip)]
    pub output: Option<PathBuf>,
    /// Print one JSON object on stdout: settings, losses and seconds of every step, evaluations.
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// Worker threads [default: all cores]; the results do not depend on it.
    #[arg(long, value_parser = threads)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Model and data.
    #[command(flatten)]
    #[serde(flatten)]
    pub source: ModelSource,
    /// Kernels.
    #[command(flatten)]
    #[serde(flatten)]
    pub kernels: KernelArgs,
    /// Optimizer and its settings.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptArgs,
}

/// Images to adapt to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdaptOn {
    /// Training images.
    Train,
    /// Test images, without their labels.
    Test,
}

/// Images to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalOn {
    /// Test images.
    Test,
    /// Training images that were held out.
    Validation,
}

impl AdaptArgs {
    /// With the optimizer's settings for adaptation where none are given.
    ///
    /// # Errors
    /// When settings do not fit each other.
    pub fn resolved(mut self) -> Result<Self> {
        let loss = self.loss()?;
        self.optimizer = self.optimizer.for_adaptation(loss);
        self.optimizer.validate()?;
        self.optimizer.lr = Some(self.optimizer.lr()?);
        let steps = self.steps;
        if let Some(at) = self.eval_at.iter().find(|at| **at > steps) {
            return Err(Error::Config(format!("--eval-at {at} is beyond --steps {steps}")));
        }
        if loss == Loss::Entropy && self.labels.is_some() {
            return Err(Error::Config("--loss entropy takes no labels; leave --labels out".into()));
        }
        if loss != Loss::Entropy && self.adapt_on == AdaptOn::Test {
            return Err(Error::Config(
                "--adapt-on test needs --loss entropy, which looks at no labels".into(),
            ));
        }
        Ok(self)
    }

    fn loss(&self) -> Result<Loss> {
        Ok(row(LOSSES, |l| l.0, &self.loss)?.1)
    }

    /// The settings that make an adaptation what it is, as flags.
    ///
    /// # Errors
    /// When a value has no form as text (a path that is not Unicode).
    pub fn flags(&self) -> Result<Vec<String>> {
        let text = toml::to_string(self).map_err(|e| Error::Config(format!("settings: {e}")))?;
        flags_of_toml(&text, &Job::Adapt.command(), "settings")
    }

    /// The same by names, as they stand in the record of `--json`.
    ///
    /// # Errors
    /// As [`AdaptArgs::flags`].
    pub fn settings(&self) -> Result<serde_json::Value> {
        by_name(self)
    }

    /// The first setting that is another one in `there`, the settings of a record, with both values.
    ///
    /// # Errors
    /// As [`AdaptArgs::flags`].
    pub fn difference(&self, there: &serde_json::Value) -> Result<Option<String>> {
        Ok(difference(&self.settings()?, there))
    }

    /// Whether the network, the data and the settings fit each other, without adapting.
    ///
    /// # Errors
    /// When they do not.
    pub fn check(&self) -> Result<()> {
        let mut objective: Objective<f32> = self.find()?.objective(&Pool::new(), self.seed)?;
        self.optimizer.freeze(&mut objective.store)?;
        self.optimizer.build::<f32>(objective.store.specs(), self.seed).map(drop)
    }

    fn find(&self) -> Result<Found> {
        self.source.find(Some(&self.checkpoint), true)
    }
}

/// Adapts, and prints a table or JSON.
///
/// # Errors
/// For files and settings that do not fit each other, and when a loss is not finite.
pub fn run(args: &AdaptArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    args.kernels.configure()?;
    let args = args.clone().resolved()?;
    // Found out now, not after a long computation.
    let files: Vec<&PathBuf> = [&args.csv, &args.output].into_iter().flatten().collect();
    files.iter().try_for_each(|path| check_writable(path))?;
    if files.len() == 2 && files[0] == files[1] {
        return Err(Error::Config(format!("{} is named for two outputs", files[0].display())));
    }
    let found = args.find()?;
    let mut objective: Objective<f32> = found.objective(&Pool::new(), args.seed)?;
    objective.loss = args.loss()?;
    objective.curvature_fraction = args.optimizer.curvature_batch.unwrap_or(1.0);
    args.optimizer.freeze(&mut objective.store)?;
    let specs = objective.store.specs().to_vec();
    let mut optimizer = args.optimizer.build(&specs, args.seed)?;
    let data = images(&args, &found)?;
    let settings = AdaptSettings {
        steps: args.steps as u64,
        lr: args.optimizer.lr()?,
        eval_at: args.eval_at.iter().map(|at| *at as u64).collect(),
        recalibrate_batches: args.recalibrate_batches,
        seed: args.seed,
    };
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(settings.steps) };
    let adapted = adapt(&mut objective, &mut optimizer, &data, &settings, |step| bar.set_position(step));
    bar.finish_and_clear();
    let adapted = adapted?;
    if let Some(path) = &args.csv {
        write_atomically(path, csv(&adapted).as_bytes())?;
    }
    if let Some(path) = &args.output {
        save_model(path, &objective.store, &found.info)?;
    }
    let trained: Vec<_> = specs.iter().filter(|s| !s.frozen).collect();
    let entries: usize = trained.iter().map(|s| s.len()).sum();
    if args.json {
        let record = serde_json::json!({
            "checkpoint": found.file().map(shown),
            "model": found.info.model,
            "norm": found.info.norm,
            "dataset": found.info.dataset,
            "settings": args.settings()?,
            "adaptation_images": data.adapt.set.len(),
            "batch_size": data.adapt.batch_size,
            "evaluation_images": data.evaluate.set.len(),
            "trained_tensors": trained.len(),
            "trained_parameters": entries,
            "second_order_blocks": args.optimizer.blocks(&specs)?.len(),
            "before": adapted.before,
            "recalibrated": adapted.evaluations.first(),
            "final": adapted.evaluations.last(),
            "evaluations": adapted.evaluations,
            "train_loss": adapted.train_loss,
            "step_seconds": adapted.step_seconds,
            "cpu_seconds": timing::cpu_seconds(),
            "peak_rss_mb": timing::peak_rss_mb(),
        });
        return super::say(&record.to_string());
    }
    let corrupted = args.corrupt.map_or(String::new(), |c| format!(" with {c}"));
    let title = format!(
        "{} on {} images of {}{corrupted}: {entries} parameters in {} tensors, --opt {}, lr {}",
        found.info.model,
        data.adapt.set.len(),
        found.info.dataset,
        trained.len(),
        args.optimizer.opt,
        settings.lr
    );
    super::say(&format!("{title}\n{}", table(&adapted, args.eval_on)))
}

/// The images to adapt to and to evaluate on, corrupted where that is asked for.
fn images(args: &AdaptArgs, found: &Found) -> Result<AdaptData> {
    let data = found.data()?;
    let classes = found.info.class_names.len();
    let fraction = args.val_split.unwrap_or(found.val_split);
    let (rest, held_out) = match fraction > 0.0 {
        true => data.validation_numbers(fraction),
        false => ((0..data.train.len()).collect(), Vec::new()),
    };
    let adapt_to = match (args.adapt_on, args.labels) {
        (AdaptOn::Test, _) => (0..data.test.len()).collect(),
        (AdaptOn::Train, None) => rest,
        (AdaptOn::Train, Some(count)) => {
            let short = |(class, has): (usize, usize)| {
                let name = data.class_names.get(class).map_or("", String::as_str);
                Error::Config(format!("--labels {count}: class '{name}' has {has} training images"))
            };
            per_class(&data.train.labels, &rest, data.classes(), count, args.seed).map_err(short)?
        }
    };
    let all_test = (0..data.test.len()).collect();
    let (eval_part, evaluate_on) = match args.eval_on {
        EvalOn::Test => (AdaptOn::Test, all_test),
        EvalOn::Validation => (AdaptOn::Train, held_out),
    };
    for (flag, numbers) in [("adapt-on", &adapt_to), ("eval-on", &evaluate_on)] {
        if numbers.is_empty() {
            return Err(Error::Config(format!(
                "--{flag}: there are no such images; --val-split {fraction} holds out"
            )));
        }
    }
    let corruptor = match args.corrupt {
        None => None,
        Some(corruption) => {
            Some(Corruptor { corruption, range: Range::of(&data.train)?, seed: args.corrupt_seed })
        }
    };
    let source = |part: AdaptOn, numbers: &[usize], batch_size: usize| {
        let (set, first): (&ImageSet, usize) = match part {
            AdaptOn::Train => (&data.train, 0),
            AdaptOn::Test => (&data.test, data.train.len()),
        };
        let set = match &corruptor {
            Some(corruptor) => corruptor.images(set, numbers, first),
            None => set.select(numbers),
        };
        Source { set: Arc::new(set), normalisation: found.info.normalisation.clone(), batch_size }
    };
    /// Images evaluated at a time.
    const EVALUATED: usize = 256;
    Ok(AdaptData {
        adapt: source(args.adapt_on, &adapt_to, args.batch_size.min(adapt_to.len())),
        evaluate: source(eval_part, &evaluate_on, EVALUATED),
        classes,
    })
}

fn table(adapted: &Adapted, on: EvalOn) -> String {
    let on = if on == EvalOn::Test { "test" } else { "validation" };
    let mut out = format!("{:12}  steps  seconds  train loss  {on} loss  {on} accuracy\n", "");
    let mut line = |name: &str, m: &Measured| {
        let train = match m.steps {
            0 => "-".to_string(),
            n => format!("{:.4}", adapted.train_loss[n as usize - 1]),
        };
        let (steps, seconds, loss, accuracy) = (m.steps, m.seconds, m.loss, 100.0 * m.accuracy);
        let (l, a) = (on.len() + 5, on.len() + 7);
        let _ = writeln!(
            out,
            "{name:12}  {steps:5}  {seconds:7.2}  {train:>10}  {loss:>l$.4}  {accuracy:>a$.2} %"
        );
    };
    line("before", &adapted.before);
    for m in &adapted.evaluations {
        line(if m.steps == 0 { "recalibrated" } else { "adapted" }, m);
    }
    out.trim_end().into()
}

/// A row before anything, one with recalibrated statistics, then one per step, with an evaluation where there was one.
fn csv(adapted: &Adapted) -> String {
    let mut out = String::from("step,seconds,train_loss,loss,accuracy\n");
    let mut line = |step: u64, seconds: f64, train: String, measured: Option<&Measured>| {
        let measured = measured.map_or(",".into(), |m| format!("{},{}", m.loss, m.accuracy));
        let _ = writeln!(out, "{step},{seconds},{train},{measured}");
    };
    line(0, 0.0, String::new(), Some(&adapted.before));
    line(0, 0.0, String::new(), adapted.evaluations.first());
    let mut seconds = 0.0;
    for (step, (loss, time)) in (1..).zip(adapted.train_loss.iter().zip(&adapted.step_seconds)) {
        seconds += time;
        line(step, seconds, loss.to_string(), adapted.evaluations.iter().find(|m| m.steps == step));
    }
    out
}
