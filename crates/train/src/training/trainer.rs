//! The training loop: epochs of steps, evaluation, checkpoints. It prints nothing; observers do.

use super::result::TrainingResult;
use super::settings::TrainSettings;
use super::speed::Speed;
use super::weight_average::WeightAverage;
use crate::error::{Divergence, Error, Result};
use crate::evaluation::{correct, evaluate_with};
use crate::files::{self, Best, Checkpoint, Progress, RunFolder};
use crate::model_info::ModelInfo;
use crate::objective::{Objective, non_finite_state};
use crate::observers::{CurvatureEvent, EpochEvent, EstimateEvent, Evaluated, Observer, StepEvent};
use crate::process;
use crate::score::{Score, answers_of};
use sph_data::augment::{AUGMENTATIONS, Apply, Augmentation, Draws};
use sph_data::loader::Source;
use sph_data::{Batch, Dataset, ImageSet, Wanted};
use sph_nn::losses::Loss;
use sph_nn::{Mode, ParamSpec, Real, Store};
use sph_optim::Optimizer;
use sph_optim::curvature::Accumulate;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is trained: a network with its loss, the images, and what takes the steps.
pub struct Training<T: Real> {
    /// What files say of the network and its images.
    pub info: ModelInfo,
    /// The loss that is minimised, with what is not trained frozen.
    pub objective: Objective<T>,
    /// What takes the steps on it.
    pub optimizer: Optimizer<T>,
    /// The numbers of the second-order blocks, when the optimizer has any.
    pub blocks: Vec<usize>,
    /// The images.
    pub data: Dataset,
    /// How it is trained.
    pub settings: TrainSettings,
}

/// A run under way.
pub struct Trainer<T: Real> {
    pub(super) settings: TrainSettings,
    run: RunFolder,
    pub(super) info: ModelInfo,
    pub(super) objective: Objective<T>,
    optimizer: Optimizer<T>,
    average: Option<WeightAverage<T>>,
    blocks: Vec<usize>,
    pub(super) train: Source,
    pub(super) validation: Option<Source>,
    test: Source,
    progress: Progress,
    saved: Option<usize>,
    speed: Speed,
    /// CPU seconds of the processes that trained the run before this one.
    cpu_before: f64,
}

impl<T: Real> Trainer<T> {
    /// A run in `run` that is to begin, or to go on by [`Trainer::restore`]. Nothing is written yet.
    ///
    /// # Errors
    /// When data, network and settings do not fit each other.
    pub fn new(training: Training<T>, run: RunFolder) -> Result<Self> {
        let Training { info, objective, optimizer, blocks, mut data, settings } = training;
        let (n, val_split) = (data.train.len(), settings.division.val_split);
        let data_crc32 = data.crc32();
        let held_out = data.divide(&settings.division)?;
        let held_out = (val_split > 0.0).then_some(held_out);
        if held_out.as_ref().is_some_and(|v| v.is_empty()) {
            return Err(Error::setting("val-split", val_split, format!("holds out no image of {n}")));
        }
        if data.train.is_empty() {
            return Err(Error::setting("val-split", val_split, "leaves no image to train on"));
        }
        if data.train.size != data.test.size {
            let [train, test] = [&data.train, &data.test].map(|set| set.spelled_size());
            return Err(Error::Sizes { train, test });
        }
        fits(&settings.augmentation, objective.loss, &data.train)?;
        let source = |set: Arc<_>| Source {
            set,
            normalisation: data.normalisation.clone(),
            batch_size: settings.batch_size,
        };
        let evaluated = |set: &Arc<ImageSet>| data.evaluated(set, settings.eval_images).0;
        let train = source(data.train.clone());
        if train.training_batches() == 0 {
            let reason = format!("is more than the {} training images", train.set.len());
            return Err(Error::setting("batch-size", settings.batch_size, reason));
        }
        // Images that the model cannot take, and batches too small for BatchNorm, are found out before a folder is made.
        let smallest: Vec<usize> = (0..objective.curved(settings.batch_size).min(2)).collect();
        let smallest = train.batch(objective.pool(), &smallest, None);
        objective.recalibrated(objective.store.norm_statistics, std::iter::once(smallest))?;
        Ok(Trainer {
            average: settings.average.map(|config| WeightAverage::new(config, &objective.store)),
            run,
            info,
            optimizer,
            train,
            validation: held_out.map(|set| source(evaluated(&set))),
            test: source(evaluated(&data.test)),
            progress: Progress::new(settings.record.clone(), data_crc32),
            saved: None,
            speed: Speed::new(blocks.len()),
            cpu_before: 0.0,
            objective,
            blocks,
            settings,
        })
    }

    /// Goes on where the run that left `checkpoint` was: one of the same settings, model and data.
    ///
    /// # Errors
    /// When the checkpoint does not fit them.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.progress.data_crc32.is_some_and(|there| Some(there) != self.progress.data_crc32) {
            let run = self.run.path().to_path_buf();
            return Err(Error::OtherData { dataset: self.info.dataset.clone(), run });
        }
        let pool = self.objective.pool().clone();
        let state = checkpoint.restore(&mut self.objective.store, &pool)?;
        let loaded = self.optimizer.load(&self.objective.store.values, state);
        loaded.map_err(|source| Error::State { path: self.run.checkpoint(), source })?;
        if let Some(average) = &mut self.average {
            checkpoint.restore_average(&mut average.store)?;
        }
        self.progress = Progress { data_crc32: self.progress.data_crc32, ..checkpoint.progress.clone() };
        self.cpu_before = self.progress.cpu_seconds;
        // Masks go on where they were.
        let epochs = self.progress.epoch * self.train.training_batches();
        self.objective.draw = (epochs + self.batches_taken()) as u64;
        self.saved = Some(self.progress.epoch);
        Ok(())
    }

    /// Keeps the settings that it was made with as those of a run that had others before: in the checkpoint, then in the folder.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn keep_settings(&mut self) -> Result<()> {
        self.progress.args = self.settings.record.clone();
        self.save()?;
        self.run.rewrite(&self.progress.args)
    }

    /// Makes the folder of a new run, with its settings and a first checkpoint: what cannot be written is found out before training, and a
    /// run that fails early can be gone on with. Leaves nothing when it fails.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn begin(&mut self) -> Result<()> {
        self.run.create(&self.progress.args)?;
        // The network's graph stays with the run, whatever becomes of the file.
        let graph = self.info.graph_file.as_ref().map_or(Ok(()), |file| file.copy(&self.run.graph()));
        graph.and_then(|()| self.save()).inspect_err(|_| self.run.discard())
    }

    /// The run's folder.
    pub fn run(&self) -> &RunFolder {
        &self.run
    }

    /// What is trained on what with what, in a line.
    pub fn describe(&self) -> String {
        let n = self.objective.network().size();
        let entries: usize = self.blocks.iter().map(|&b| self.objective.store.specs()[b].len()).sum();
        let second = match self.blocks.len() {
            0 => String::new(),
            blocks => format!(", {entries} of them second-order in {blocks} blocks"),
        };
        let frozen: usize =
            self.objective.store.specs().iter().filter(|s| s.frozen).map(ParamSpec::len).sum();
        let frozen = if frozen > 0 { format!(", {frozen} frozen") } else { String::new() };
        let kept = match self.objective.store.norms(false).count() {
            0 => String::new(),
            n => format!("; {n} norms keep their running statistics"),
        };
        let images = self.train.set.len();
        let what = if self.train.set.as_is.is_some() { "samples" } else { "images" };
        let loss = match self.objective.loss {
            Loss::CrossEntropy => String::new(),
            loss => format!(", loss {}", loss.name()),
        };
        // A graph has norms of its own.
        let norm = match &*self.info.norm {
            "" => String::new(),
            norm => format!(" with norm {norm}"),
        };
        format!(
            "{}{norm} ({n} parameters{second}{frozen}{kept}) on {images} {what} of {}{loss}",
            self.info.model, self.info.dataset
        )
    }

    /// Epochs finished so far.
    pub fn epochs_done(&self) -> usize {
        self.progress.epoch
    }

    /// Batches of the epoch under way that were taken, by whole steps; its last step may take fewer than the others.
    fn batches_taken(&self) -> usize {
        (self.progress.step * self.settings.accumulate).min(self.train.training_batches())
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Steps of a whole epoch.
    pub(super) fn steps_per_epoch(&self) -> usize {
        self.train.training_batches().div_ceil(self.settings.accumulate)
    }

    /// There are epochs to train.
    pub fn unfinished(&self) -> bool {
        self.progress.epoch < self.settings.epochs && !self.out_of_patience()
    }

    fn out_of_patience(&self) -> bool {
        let since_best = self.progress.best.map_or(0, |best| self.progress.epoch - (best.epoch + 1));
        self.settings.patience.is_some_and(|patience| since_best >= patience)
    }

    /// Trains until the last epoch, until [`TrainSettings::patience`] is over, or until `stop` is set: then the step under way is finished and a
    /// checkpoint written.
    ///
    /// # Errors
    /// When the loss is not finite, a file cannot be written, or an observer fails. The last checkpoint is kept.
    pub fn train(
        &mut self,
        observers: &mut [&mut dyn Observer],
        stop: &AtomicBool,
    ) -> Result<TrainingResult> {
        let mut interrupted = false;
        while self.unfinished() && !interrupted {
            interrupted = !self.epoch(observers, stop)?;
        }
        Ok(TrainingResult {
            interrupted,
            stopped_early: self.progress.epoch < self.settings.epochs && self.out_of_patience(),
            epochs: self.progress.epoch,
            data_crc32: self.progress.data_crc32,
            best: self.progress.best,
            last: self.progress.last,
            best_average: self.progress.best_average,
            last_average: self.progress.last_average,
            chosen_on_validation: self.validation.is_some(),
            loss: self.objective.loss,
            seconds: self.progress.seconds,
            cpu_seconds: process::cpu_seconds().map(|now| self.cpu_before + now),
            step_ms: self.speed.step_ms(),
            overhead: self.speed.overhead(),
        })
    }

    /// One epoch, or what is left of it; false when it was interrupted.
    fn epoch(&mut self, observers: &mut [&mut dyn Observer], stop: &AtomicBool) -> Result<bool> {
        let accumulated = self.settings.accumulate;
        let (epoch, steps) = (self.progress.epoch, self.steps_per_epoch());
        let draws =
            Draws { seed: self.settings.seed, epoch: epoch as u64, augmentation: self.settings.augmentation };
        let pool = self.objective.pool().clone();
        let mut clock = Instant::now();
        let (schedule, config) = self.settings.schedule;
        let mut lr = 0.0;
        let mut batches = self.train.training(&pool, draws, self.batches_taken());
        loop {
            let parts: Vec<_> = batches.by_ref().take(accumulated).collect();
            if parts.is_empty() {
                break;
            }
            let index = self.progress.step;
            lr = schedule.at(&config, epoch as f64 + index as f64 / steps as f64);
            let batch_loss = self.step(parts, lr)?;
            self.progress.step += 1;
            let time = clock.elapsed();
            self.progress.seconds += time.as_secs_f64();
            if let Some(event) = self.estimate(time)? {
                observers.iter_mut().try_for_each(|o| o.estimate(&event))?;
            }
            clock = Instant::now();
            let event = StepEvent {
                step: self.optimizer.steps(),
                epoch,
                epochs: self.settings.epochs,
                batch: index,
                batches: steps,
                lr,
                batch_loss,
                train: self.progress.sums.score(self.objective.loss.has_classes()),
                images_per_s: self.images_per_s(),
                overhead: self.speed.overhead(),
            };
            observers.iter_mut().try_for_each(|o| o.step(&event))?;
            if stop.load(Ordering::Relaxed) && self.progress.step < steps {
                self.save()?;
                return Ok(false);
            }
        }
        let model = self.evaluate_all(&self.objective.store)?;
        let average = self.average.as_ref().map(|a| self.evaluate_all(&a.store)).transpose()?;
        self.progress.seconds += clock.elapsed().as_secs_f64();
        let improved = Best::update(&mut self.progress.best, epoch, model.validation, model.test);
        let improved_average = average
            .is_some_and(|a| Best::update(&mut self.progress.best_average, epoch, a.validation, a.test));
        let sums = std::mem::take(&mut self.progress.sums);
        let event = EpochEvent {
            step: self.optimizer.steps(),
            epoch,
            epochs: self.settings.epochs,
            lr,
            train: sums.score(self.objective.loss.has_classes()),
            validation: model.validation,
            test: model.test,
            average,
            step_ms: self.speed.step_ms().unwrap_or(0.0),
            images_per_s: self.images_per_s(),
            overhead: self.speed.overhead(),
            seconds: self.progress.seconds,
        };
        (self.progress.epoch, self.progress.step) = (epoch + 1, 0);
        (self.progress.last, self.progress.last_average) = (Some(model.test), average.map(|a| a.test));
        self.ensure_finite()?;
        observers.iter_mut().try_for_each(|o| o.epoch(&event))?;
        let blocks = self.optimizer.report(&self.objective.store.values);
        let curvature = CurvatureEvent { epoch, step: self.optimizer.steps(), blocks: &blocks };
        observers.iter_mut().try_for_each(|o| o.curvature(&curvature))?;
        files::save_model(&self.run.last(), &self.objective.store, &self.info)?;
        if improved {
            files::save_model(&self.run.best(), &self.objective.store, &self.info)?;
        }
        if let Some(average) = &self.average {
            files::save_model(&self.run.last_average(), &average.store, &self.info)?;
            if improved_average {
                files::save_model(&self.run.best_average(), &average.store, &self.info)?;
            }
        }
        self.save()?;
        Ok(!(stop.load(Ordering::Relaxed) && self.unfinished()))
    }

    /// Takes a step on a batch in parts and returns its loss.
    fn step(&mut self, parts: Vec<Batch<T>>, lr: f64) -> Result<f64> {
        let n: usize = parts.iter().map(Batch::counted).sum();
        let whole = parts.len() == 1;
        self.objective.set_parts(parts);
        let start = Instant::now();
        let taken = match whole {
            true => self.optimizer.step(&mut self.objective, lr),
            false => self.optimizer.step(&mut Accumulate(&mut self.objective), lr),
        };
        let report = taken.map_err(|e| match e.not_finite() {
            Some(what) => self.diverged(&what, None),
            None => Error::Evaluation(e),
        })?;
        self.speed.step(start.elapsed());
        if report.curvature {
            self.speed.evaluation(self.objective.evaluation_time());
            if Speed::wants_gradient(self.optimizer.steps()) {
                self.speed.gradient(self.objective.time_gradient()?);
            }
        }
        if let Some(average) = &mut self.average {
            average.update(&self.objective.store, self.optimizer.steps());
        }
        let sums = &mut self.progress.sums;
        sums.loss += report.loss * n as f64;
        sums.correct += self.objective.evaluated().map(|(b, l)| correct(l, b)).sum::<u64>();
        sums.images += n as u64;
        Ok(report.loss)
    }

    /// What is left will take, once enough steps were measured; `time` is that of the last one.
    fn estimate(&mut self, time: Duration) -> Result<Option<EstimateEvent>> {
        let Some((measured, step)) = self.speed.whole_step(time) else { return Ok(None) };
        let Some(batch) = self.objective.current_batch() else { return Ok(None) };
        let start = Instant::now();
        self.objective.evaluate_on(batch)?;
        let evaluation = start.elapsed().as_secs_f64();
        let epochs = self.settings.epochs - self.progress.epoch;
        let steps = epochs * self.steps_per_epoch() - self.progress.step;
        let evaluated = self.test.set.len() + self.validation.as_ref().map_or(0, |v| v.set.len());
        // The average of weights is evaluated beside the model.
        let evaluated = evaluated * (1 + usize::from(self.average.is_some()));
        let batches = evaluated as f64 / self.settings.batch_size as f64;
        Ok(Some(EstimateEvent {
            measured,
            step_ms: 1e3 * step,
            evaluation_ms: 1e3 * evaluation,
            epochs,
            seconds: steps as f64 * step + epochs as f64 * batches * evaluation,
            peak_rss_mb: process::peak_rss_mb(),
        }))
    }

    fn images_per_s(&self) -> f64 {
        // An epoch's last step may have fewer batches, and an epoch fewer than a step would take.
        let batches = self.settings.accumulate.min(self.train.training_batches());
        let images = self.settings.batch_size * batches;
        self.speed.step_ms().map_or(0.0, |ms| images as f64 / ms * 1e3)
    }

    /// These values on the held-out images, where there are any, and on the test images.
    fn evaluate_all(&self, store: &Store<T>) -> Result<Evaluated> {
        let validation = self.validation.as_ref().map(|v| self.evaluate(store, v)).transpose()?;
        Ok(Evaluated { validation, test: self.evaluate(store, &self.test)? })
    }

    fn evaluate(&self, store: &Store<T>, source: &Source) -> Result<Score> {
        let evaluated = evaluate_with(&self.objective, store, source, self.info.class_names.len());
        let e = evaluated.map_err(|e| match e {
            Error::NotFinite { place } => self.diverged("the loss in evaluation", Some(place)),
            e => e,
        })?;
        Ok(e.score())
    }

    /// `what` went wrong on the training batch at hand, or `in_evaluation`, at that place.
    fn diverged(&self, what: &str, in_evaluation: Option<String>) -> Error {
        let checkpoint = self.run.checkpoint();
        let checkpoint = checkpoint.display();
        let step = self.optimizer.steps() + u64::from(in_evaluation.is_none());
        let f = &self.objective;
        let in_training = || f.first_non_finite(&f.store, f.current_batch()?, Mode::Train);
        let place = in_evaluation.or_else(in_training);
        Error::Diverged(Divergence {
            what: what.to_string(),
            step,
            epoch: Some(self.progress.epoch + 1),
            // A finite forward pass: it is the backward pass or the optimizer that overflows.
            place: Some(place.unwrap_or_else(|| "the backward pass or the optimizer".into())),
            advice: "lower `lr` or raise `warmup-epochs`",
            kept: Some(match self.saved {
                Some(0) => format!("{checkpoint} of the start is kept"),
                Some(n) => format!("{checkpoint} of epoch {n} is kept"),
                None => "there is no checkpoint yet".into(),
            }),
        })
    }

    /// What is saved can be gone on from.
    fn ensure_finite(&self) -> Result<()> {
        match non_finite_state(&self.objective.store) {
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
        self.progress.cpu_seconds = self.cpu_before + process::cpu_seconds().unwrap_or(0.0);
        let state = self.optimizer.save(&self.objective.store.values);
        let average = self.average.as_ref().map(|a| &a.store);
        files::save_checkpoint(
            &self.run.checkpoint(),
            &self.objective.store,
            average,
            &state,
            &self.progress,
        )?;
        self.saved = Some(self.progress.epoch);
        Ok(())
    }
}

/// Refuses what samples that are no images of classes cannot be changed by, and a loss that does not go with what is to be answered.
fn fits(augmentation: &Augmentation, loss: Loss, set: &ImageSet) -> Result<()> {
    for row in AUGMENTATIONS.iter().filter(|row| (row.on)(augmentation)) {
        let reason = match row.apply {
            _ if set.as_is.is_some() => "changes images; the network takes its inputs as they are",
            Apply::WithPartner(_) if set.wanted != Wanted::Labels || !set.more.is_empty() => {
                "mixes images of classes; the network answers something else, or reads more"
            }
            _ => continue,
        };
        return Err(Error::Augmentation { name: row.name, reason });
    }
    match set.wanted.kind() == answers_of(loss) {
        true => Ok(()),
        false => Err(Error::setting(
            "loss",
            loss.name(),
            "is not one of what the data has to be answered; name another",
        )),
    }
}
