//! The training loop: epochs of steps, evaluation, checkpoints. It prints nothing; observers do.

use crate::checkpoint::{self, Best, Checkpoint, EpochSums, Progress};
use crate::config::{self, TrainArgs, shown};
use crate::data::loader::{Augmentation, EpochOrder, Source};
use crate::data::{self, DataOptions};
use crate::error::{Error, Result};
use crate::model_info::ModelInfo;
use crate::objective::{Batch, Objective};
use crate::observers::{CurvatureEvent, EpochEvent, EstimateEvent, Observer, StepEvent};
use crate::run::RunDir;
use crate::timing::{self, FirstSteps, Times};
use sph_nn::{Mode, ParamSpec, Real};
use sph_optim::lr::{ScheduleConfig, ScheduleRow};
use sph_optim::{EvalError, Optimizer};
use sph_tensor::{Array, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Ended early because it was told to; it can be resumed.
    pub interrupted: bool,
    /// Epochs finished.
    pub epochs: usize,
    /// The best epoch.
    pub best: Option<Best>,
    /// Loss and accuracy on the test images after the last epoch.
    pub last: Option<(f64, f64)>,
    /// The best epoch was chosen on held-out images, not on the test set.
    pub chosen_on_validation: bool,
    /// Seconds of training, over the whole run, interruptions left out.
    pub seconds: f64,
    /// Median time of a step in milliseconds.
    pub step_ms: Option<f64>,
    /// Time of a gradient with curvature over one without, minus 1.
    pub overhead: Option<f64>,
}

/// A run under way.
pub struct Trainer<T: Real> {
    args: TrainArgs,
    run: RunDir,
    info: ModelInfo,
    objective: Objective<T>,
    optimizer: Optimizer<T>,
    /// The second-order blocks, when the optimizer has any.
    blocks: Vec<usize>,
    schedule: (&'static ScheduleRow, ScheduleConfig),
    train: Source,
    validation: Option<Source>,
    test: Source,
    progress: Progress,
    saved: Option<usize>,
    steps: Times,
    evaluations: Times,
    gradients: Times,
    first_steps: FirstSteps,
}

impl<T: Real> Trainer<T> {
    /// A new run with these settings in `run`.
    ///
    /// # Errors
    /// When data, model and settings do not fit each other.
    pub fn new(args: &TrainArgs, run: RunDir) -> Result<Self> {
        let options = DataOptions { data_dir: args.data_dir.clone(), image_size: args.image_size };
        let mut data = data::load(&args.dataset, &options)?;
        let held_out = (args.val_split > 0.0).then(|| data.split_validation(args.val_split));
        if held_out.as_ref().is_some_and(|v| v.is_empty()) {
            let n = data.train.len();
            return Err(Error::Config(format!("--val-split {} holds out no image of {n}", args.val_split)));
        }
        if data.train.is_empty() {
            return Err(Error::Config(format!("--val-split {} leaves no image to train on", args.val_split)));
        }
        let info = ModelInfo {
            model: args.model.model.clone(),
            norm: config::norm(args.model.norm.as_deref(), &args.model.model)?.name.into(),
            decouple: args.model.decouples(),
            stem: args.model.stem.clone(),
            image_size: args.image_size,
            dataset: args.dataset.clone(),
            normalisation: data.normalisation.clone(),
        };
        let pool = Pool::new();
        let network = info.build(&data, args.model.dropout)?;
        let mut objective = Objective::new(network, &pool, args.seed);
        args.optimizer.freeze(&mut objective.store)?;
        objective.smoothing = args.smoothing;
        let specs = objective.store.specs().to_vec();
        let optimizer = args.optimizer.build(&specs, args.seed)?;
        let blocks = args.optimizer.blocks(&specs)?;
        let source = |set: Arc<_>| Source {
            set,
            normalisation: data.normalisation.clone(),
            batch_size: args.batch_size,
        };
        let train = source(data.train.clone());
        if train.training_batches() == 0 {
            let (b, n) = (args.batch_size, train.set.len());
            return Err(Error::Config(format!("--batch-size {b} is more than the {n} training images")));
        }
        let schedule = args.schedule()?;
        // Images that the model cannot take are found out before a folder is made.
        objective.evaluate_on(&train.batch(&pool, &[0], None::<EpochOrder>))?;
        let first_steps = FirstSteps::new(blocks.len());
        Ok(Trainer {
            info,
            args: args.clone(),
            run,
            objective,
            optimizer,
            blocks,
            schedule,
            train,
            validation: held_out.map(source),
            test: source(data.test.clone()),
            progress: Progress {
                version: checkpoint::VERSION,
                args: args.to_toml()?,
                epoch: 0,
                batch: 0,
                sums: EpochSums::default(),
                best: None,
                last: None,
                seconds: 0.0,
            },
            saved: None,
            steps: Times::default(),
            evaluations: Times::default(),
            gradients: Times::default(),
            first_steps,
        })
    }

    /// The run that left `checkpoint` in `run`, with its own settings.
    ///
    /// # Errors
    /// When the checkpoint does not fit them.
    pub fn resume(args: &TrainArgs, run: RunDir, checkpoint: &Checkpoint) -> Result<Self> {
        let mut trainer = Self::new(args, run)?;
        let pool = trainer.objective.pool().clone();
        let state = checkpoint.restore(&mut trainer.objective.store, &pool)?;
        trainer.optimizer.load(&trainer.objective.store.values, state)?;
        // One batch a step: masks go on where they were.
        trainer.objective.draw = trainer.optimizer.steps();
        trainer.progress = checkpoint.progress.clone();
        trainer.saved = Some(trainer.progress.epoch);
        Ok(trainer)
    }

    /// The run's folder.
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    /// What is trained on what with what, in a line.
    pub fn describe(&self) -> String {
        let (a, n) = (&self.args, self.objective.network().size());
        let entries: usize = self.blocks.iter().map(|&b| self.objective.store.specs()[b].len()).sum();
        let second = match self.blocks.len() {
            0 => String::new(),
            blocks => format!(", {entries} of them second-order in {blocks} blocks"),
        };
        let frozen: usize =
            self.objective.store.specs().iter().filter(|s| s.frozen).map(ParamSpec::len).sum();
        let frozen = if frozen > 0 { format!(", {frozen} frozen") } else { String::new() };
        let images = self.train.set.len();
        format!(
            "{} with norm {} ({n} parameters{second}{frozen}) on {images} images of {}, --opt {}",
            a.model.model, self.info.norm, a.dataset, a.optimizer.opt
        )
    }

    /// Epochs finished so far.
    pub fn epochs_done(&self) -> usize {
        self.progress.epoch
    }

    /// There are epochs to train.
    pub fn unfinished(&self) -> bool {
        self.progress.epoch < self.args.epochs
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Trains until the last epoch, or until `stop` is set: then the step under way is finished and a checkpoint written.
    ///
    /// # Errors
    /// When the loss is not finite, a file cannot be written, or an observer fails. The last checkpoint is kept.
    pub fn train(&mut self, observers: &mut [&mut dyn Observer], stop: &AtomicBool) -> Result<Outcome> {
        let mut interrupted = false;
        while self.unfinished() && !interrupted {
            interrupted = !self.epoch(observers, stop)?;
        }
        Ok(Outcome {
            interrupted,
            epochs: self.progress.epoch,
            best: self.progress.best,
            last: self.progress.last,
            chosen_on_validation: self.validation.is_some(),
            seconds: self.progress.seconds,
            step_ms: self.steps.median(),
            overhead: self.overhead(),
        })
    }

    /// One epoch, or what is left of it; false when it was interrupted.
    fn epoch(&mut self, observers: &mut [&mut dyn Observer], stop: &AtomicBool) -> Result<bool> {
        let (epoch, batches) = (self.progress.epoch, self.train.training_batches());
        let augmentation = Augmentation { crop_pad: self.args.random_crop.into(), hflip: self.args.hflip };
        let order = EpochOrder { seed: self.args.seed, epoch: epoch as u64, augmentation };
        let pool = self.objective.pool().clone();
        let mut clock = Instant::now();
        let mut lr = 0.0;
        for batch in self.train.training(&pool, order, self.progress.batch) {
            let index = self.progress.batch;
            lr = self.schedule.0.at(&self.schedule.1, epoch as f64 + index as f64 / batches as f64);
            let batch_loss = self.step(batch, lr)?;
            self.progress.batch += 1;
            let time = clock.elapsed();
            self.progress.seconds += time.as_secs_f64();
            if let Some(event) = self.estimate(time)? {
                observers.iter_mut().try_for_each(|o| o.estimate(&event))?;
            }
            clock = Instant::now();
            let event = StepEvent {
                step: self.optimizer.steps(),
                epoch,
                epochs: self.args.epochs,
                batch: index,
                batches,
                lr,
                batch_loss,
                loss: self.progress.sums.loss / self.progress.sums.images as f64,
                accuracy: self.progress.sums.correct as f64 / self.progress.sums.images as f64,
                images_per_s: self.images_per_s(),
                overhead: self.overhead(),
            };
            observers.iter_mut().try_for_each(|o| o.step(&event))?;
            if stop.load(Ordering::Relaxed) && self.progress.batch < batches {
                self.save()?;
                return Ok(false);
            }
        }
        let validation = self.validation.as_ref().map(|v| self.evaluate(v)).transpose()?;
        let test = self.evaluate(&self.test)?;
        self.progress.seconds += clock.elapsed().as_secs_f64();
        let chosen_by = validation.map_or(test.1, |v| v.1);
        let improved = self.progress.best.is_none_or(|best| chosen_by > best.chosen_by);
        if improved {
            self.progress.best = Some(Best { epoch, chosen_by, test_loss: test.0, test_accuracy: test.1 });
        }
        let sums = std::mem::take(&mut self.progress.sums);
        let event = EpochEvent {
            step: self.optimizer.steps(),
            epoch,
            epochs: self.args.epochs,
            lr,
            train_loss: sums.loss / sums.images as f64,
            train_accuracy: sums.correct as f64 / sums.images as f64,
            validation,
            test,
            step_ms: self.steps.median().unwrap_or(0.0),
            images_per_s: self.images_per_s(),
            overhead: self.overhead(),
            seconds: self.progress.seconds,
        };
        (self.progress.epoch, self.progress.batch) = (epoch + 1, 0);
        self.progress.last = Some(test);
        self.ensure_finite()?;
        observers.iter_mut().try_for_each(|o| o.epoch(&event))?;
        let blocks = self.optimizer.report(&self.objective.store.values);
        let curvature = CurvatureEvent { epoch, step: self.optimizer.steps(), blocks: &blocks };
        observers.iter_mut().try_for_each(|o| o.curvature(&curvature))?;
        checkpoint::save_model(&self.run.last(), &self.objective.store, &self.info)?;
        if improved {
            checkpoint::save_model(&self.run.best(), &self.objective.store, &self.info)?;
        }
        self.save()?;
        Ok(!(stop.load(Ordering::Relaxed) && self.progress.epoch < self.args.epochs))
    }

    /// Takes a step and returns its loss.
    fn step(&mut self, batch: Batch<T>, lr: f64) -> Result<f64> {
        let n = batch.len();
        let targets = batch.targets.clone();
        self.objective.set_batch(batch);
        let start = Instant::now();
        let report = self.optimizer.step(&mut self.objective, lr).map_err(|e| match e {
            EvalError::NonFiniteLoss(_) => self.diverged("the loss", None),
            EvalError::NonFiniteUpdate(name) => self.diverged(&format!("the update of '{name}'"), None),
            e => Error::Evaluation(e),
        })?;
        self.steps.push(start.elapsed());
        if report.curvature {
            self.evaluations.push(self.objective.evaluation_time());
            // Once warm, for a few steps and then now and then: the same gradient without curvature, for the overhead that is
            // shown.
            let steps = self.optimizer.steps();
            if (WARM..WARM + PAIRS).contains(&steps) || steps.is_multiple_of(100) {
                let time = self.objective.time_gradient().map_err(Error::Evaluation)?;
                self.gradients.push(time);
            }
        }
        let sums = &mut self.progress.sums;
        sums.loss += report.loss * n as f64;
        sums.correct += self.objective.logits().map_or(0, |l| correct(l, &targets));
        sums.images += n as u64;
        Ok(report.loss)
    }

    /// What is left will take, once enough steps were measured; `time` is that of the last one.
    fn estimate(&mut self, time: Duration) -> Result<Option<EstimateEvent>> {
        let Some((measured, step)) = self.first_steps.push(time) else { return Ok(None) };
        let Some(batch) = self.objective.current_batch() else { return Ok(None) };
        let start = Instant::now();
        self.objective.evaluate_on(batch)?;
        let evaluation = start.elapsed().as_secs_f64();
        let epochs = self.args.epochs - self.progress.epoch;
        let steps = epochs * self.train.training_batches() - self.progress.batch;
        let evaluated = self.test.set.len() + self.validation.as_ref().map_or(0, |v| v.set.len());
        let batches = evaluated as f64 / self.args.batch_size as f64;
        Ok(Some(EstimateEvent {
            measured,
            step_ms: 1e3 * step,
            evaluation_ms: 1e3 * evaluation,
            epochs,
            seconds: steps as f64 * step + epochs as f64 * batches * evaluation,
            peak_rss_mb: timing::peak_rss_mb(),
        }))
    }

    fn overhead(&self) -> Option<f64> {
        if self.gradients.len() < PAIRS as usize {
            return None;
        }
        Some(self.evaluations.median()? / self.gradients.median()? - 1.0)
    }

    fn images_per_s(&self) -> f64 {
        self.steps.median().map_or(0.0, |ms| self.args.batch_size as f64 / ms * 1e3)
    }

    /// Mean loss and accuracy.
    fn evaluate(&self, source: &Source) -> Result<(f64, f64)> {
        let (mut loss, mut right) = (0.0, 0);
        for batch in source.in_order(self.objective.pool()) {
            let (batch_loss, logits) = self.objective.evaluate_on(&batch)?;
            if !batch_loss.is_finite() {
                return Err(self.diverged("the loss in evaluation", Some(&batch)));
            }
            loss += batch_loss * batch.len() as f64;
            right += correct(&logits, &batch.targets);
        }
        let n = source.set.len() as f64;
        Ok((loss / n, right as f64 / n))
    }

    /// `what` went wrong on the training batch at hand, or on `evaluated`.
    fn diverged(&self, what: &str, evaluated: Option<&Batch<T>>) -> Error {
        let checkpoint = shown(&self.run.checkpoint());
        let batch =
            evaluated.map(|b| (b, Mode::Eval)).or(self.objective.current_batch().map(|b| (b, Mode::Train)));
        let place = batch.and_then(|(batch, mode)| self.objective.first_non_finite(batch, mode));
        Error::Diverged {
            what: what.to_string(),
            step: self.optimizer.steps() + u64::from(evaluated.is_none()),
            epoch: self.progress.epoch + 1,
            // A finite forward pass: it is the backward pass or the optimizer that overflows.
            place: place.unwrap_or_else(|| "the backward pass or the optimizer".into()),
            kept: match self.saved {
                Some(0) => format!("{checkpoint} of the start is kept"),
                Some(n) => format!("{checkpoint} of epoch {n} is kept"),
                None => "there is no checkpoint yet".into(),
            },
        }
    }

    /// What is saved can be gone on from.
    fn ensure_finite(&self) -> Result<()> {
        match self.objective.non_finite_state() {
            None => Ok(()),
            Some(state) => Err(self.diverged(&state, None)),
        }
    }

    /// Writes the checkpoint.
    ///
    /// # Errors
    /// When it cannot be written, or the state is not finite: then the one before is kept.
    pub fn save(&mut self) -> Result<()> {
        self.ensure_finite()?;
        let state = self.optimizer.save(&self.objective.store.values);
        checkpoint::save(&self.run.checkpoint(), &self.objective.store, &state, &self.progress)?;
        self.saved = Some(self.progress.epoch);
        Ok(())
    }
}

/// Steps before the first measurement of the curvature's overhead, and measurements before it is shown.
const WARM: u64 = 5;
const PAIRS: u64 = 5;

/// How many rows of logits have their largest entry at the target; the first of equal ones counts.
pub fn correct<T: Real>(logits: &Array<T>, targets: &[u32]) -> u64 {
    let rows = logits.as_slice().chunks_exact(logits.shape().last());
    let right = |(row, target): &(&[T], &u32)| {
        let best = (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        best == **target as usize
    };
    rows.zip(targets).filter(right).count() as u64
}
