//! Adapting a trained network to other data by a few of its parameters: steps, evaluations on the way, BatchNorm's statistics made anew.
//!
//! The algorithm alone: no files, nothing printed.

use super::judge::{HeldOut, Keep, Predictions};
use super::suffix_average::SuffixAverage;
use crate::error::{Divergence, Error, Result};
use crate::evaluation::evaluate_with;
use crate::objective::Objective;
use serde::{Deserialize, Serialize};
use sph_data::Batch;
use sph_data::augment::{Augmentation, Draws};
use sph_data::loader::Source;
use sph_nn::losses::Loss;
use sph_nn::{Mode, NormStatistics, Real, Store};
use sph_optim::Optimizer;
use sph_tensor::Array;
use std::time::Instant;

/// Settings of an adaptation.
#[derive(Debug, Clone, Serialize)]
pub struct AdaptSettings {
    /// Steps to take.
    pub steps: u64,
    /// The learning rate, constant, greater than 0.
    pub lr: f64,
    /// Steps after which the network is evaluated, beside the beginning and the end.
    pub eval_at: Vec<u64>,
    /// Batches over which BatchNorm's statistics are taken before an evaluation, at least 1; all, where there are fewer.
    pub recalibrate_batches: usize,
    /// Evaluate, and end at, the mean of the points of the last half of the steps, instead of the last point.
    pub average: bool,
    /// Which of the evaluated points to end at.
    pub keep: Keep,
    /// Seed of the order of the images.
    pub seed: u64,
}

/// Loss (cross-entropy) and accuracy after some steps, and what may choose among points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepEvaluation {
    /// Steps taken.
    pub steps: u64,
    /// Seconds that they took, without evaluations.
    pub seconds: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Fraction classified correctly.
    pub accuracy: f64,
    /// The same of held-out images, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// The predictions on the images that are adapted to, where these have no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<Predictions>,
}

impl StepEvaluation {
    /// What points are chosen by, the less the better; `None` where nothing was measured for it.
    fn score(&self) -> Option<f64> {
        self.held_out.map(|h| h.loss).or(self.predictions.map(|p| -p.information))
    }
}

/// The point that an adaptation ended at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kept {
    /// The network as it was.
    Before,
    /// That of an evaluation, by its number.
    Evaluated(usize),
}

/// What an adaptation came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationResult {
    /// The network as it was.
    pub before: StepEvaluation,
    /// With recalibrated statistics: first without a step, last after all of them.
    pub evaluations: Vec<StepEvaluation>,
    /// The loss that is minimised, of each step's batch before the step.
    pub train_loss: Vec<f64>,
    /// The time of each step, its batch included.
    pub step_seconds: Vec<f64>,
    /// Which of these points is kept.
    pub kept: Kept,
}

impl AdaptationResult {
    /// The evaluation of the point that is kept.
    pub fn kept(&self) -> &StepEvaluation {
        match self.kept {
            Kept::Before => &self.before,
            Kept::Evaluated(i) => &self.evaluations[i],
        }
    }

    /// Whether the predictions of an evaluation had collapsed, by those without a step.
    fn collapsed(&self, number: usize) -> bool {
        let of = |number: usize| self.evaluations[number].predictions;
        of(number).zip(of(0)).is_some_and(|(now, first)| now.collapsed(&first))
    }

    /// The first evaluation after whose steps the predictions had collapsed.
    pub fn collapse(&self) -> Option<&StepEvaluation> {
        self.evaluations.get((0..self.evaluations.len()).find(|i| self.collapsed(*i))?)
    }
}

/// Where images come from: to adapt to, to evaluate on, and how many classes they have.
#[derive(Debug, Clone)]
pub struct AdaptData {
    /// Images to adapt to; its batches are the steps'. There are at least as many as one takes.
    pub adapt: Source,
    /// Images to evaluate on.
    pub evaluate: Source,
    /// Labelled images that choose among the points.
    pub held_out: Option<Source>,
    /// Number of classes.
    pub classes: usize,
}

/// Takes steps on `objective`, whose loss and frozen parameters are set, and leaves it at the point that is kept. `each` is called after
/// every step. Evaluations leave the steps as they are.
///
/// # Errors
/// When images do not fit the network, or a loss or an update is not finite; the objective is left at the last step then. When there are
/// fewer images to adapt to than a batch takes.
pub fn adapt<T: Real>(
    objective: &mut Objective<T>,
    optimizer: &mut Optimizer<T>,
    data: &AdaptData,
    settings: &AdaptSettings,
    mut each: impl FnMut(u64),
) -> Result<AdaptationResult> {
    if data.adapt.training_batches() == 0 {
        return Err(Error::BatchTooLarge { batch: data.adapt.batch_size, images: data.adapt.set.len() });
    }
    let mut out = AdaptationResult {
        before: measure(objective, &objective.store, data, settings, (0, 0.0))?,
        evaluations: Vec::new(),
        train_loss: Vec::new(),
        step_seconds: Vec::new(),
        kept: Kept::Before,
    };
    let mut kept = objective.store.clone();
    let first =
        recalibrated(objective, NormStatistics::Batch, objective.store.values.clone(), data, settings)?;
    // What norms keep in training are the statistics of these images.
    objective.store.take_kept_statistics(&first);
    out.evaluations.push(measure(objective, &first, data, settings, (0, 0.0))?);
    out.choose(settings.keep, &mut kept, first);
    let (mut epoch, mut batches) = (0, epoch_of(objective, data, settings.seed, 0));
    let mut seconds = 0.0;
    let ends = settings.eval_at.iter().copied().chain([settings.steps]);
    let mut average = settings.average.then(|| SuffixAverage::new(&objective.store, ends));
    for step in 1..=settings.steps {
        let start = Instant::now();
        let batch = loop {
            match batches.next() {
                Some(batch) => break batch,
                None => {
                    epoch += 1;
                    batches = epoch_of(objective, data, settings.seed, epoch);
                }
            }
        };
        objective.set_batch(batch);
        let report = optimizer.step(objective, settings.lr).map_err(|e| {
            let Some(what) = e.not_finite() else { return Error::Evaluation(e) };
            let batch = objective.current_batch();
            diverged(
                &what,
                step,
                batch.and_then(|b| objective.first_non_finite(&objective.store, b, Mode::Train)),
            )
        })?;
        let time = start.elapsed().as_secs_f64();
        seconds += time;
        out.train_loss.push(report.loss);
        out.step_seconds.push(time);
        if let Some(average) = &mut average {
            average.add(&objective.store);
        }
        if settings.eval_at.contains(&step) || step == settings.steps {
            let store = &objective.store;
            let values = average.as_ref().map_or_else(|| store.values.clone(), |a| a.mean(store));
            let point = recalibrated(objective, objective.store.norm_statistics, values, data, settings)?;
            out.evaluations.push(measure(objective, &point, data, settings, (step, seconds))?);
            out.choose(settings.keep, &mut kept, point);
        }
        each(step);
    }
    objective.store = kept;
    Ok(out)
}

fn diverged(what: &str, step: u64, place: Option<String>) -> Error {
    let (what, advice) = (what.to_string(), "lower `lr`");
    Error::Diverged(Divergence { what, step, epoch: None, place, advice, kept: None })
}

fn epoch_of<T: Real>(
    objective: &Objective<T>,
    data: &AdaptData,
    seed: u64,
    epoch: u64,
) -> sph_data::loader::Batches<T> {
    data.adapt.training(objective.pool(), Draws { seed, epoch, augmentation: Augmentation::default() }, 0)
}

/// The images that statistics are taken over: the first batches of an order of its own.
fn sample<T: Real>(
    objective: &Objective<T>,
    data: &AdaptData,
    settings: &AdaptSettings,
) -> impl Iterator<Item = Batch<T>> + use<T> {
    epoch_of(objective, data, settings.seed, u64::MAX).take(settings.recalibrate_batches)
}

impl AdaptationResult {
    /// Keeps `point`, which was evaluated last, in the place of the one so far where that is not better.
    fn choose<T: Real>(&mut self, keep: Keep, kept: &mut Store<T>, point: Store<T>) {
        let number = self.evaluations.len() - 1;
        let better = match (self.evaluations[number].score(), self.kept().score()) {
            (Some(new), Some(old)) if keep == Keep::Best => new < old && !self.collapsed(number),
            _ => true,
        };
        if better {
            (self.kept, *kept) = (Kept::Evaluated(number), point);
        }
    }
}

/// The network at `values`, with statistics, in the norms that `which` means, over a sample of the images.
fn recalibrated<T: Real>(
    objective: &mut Objective<T>,
    which: NormStatistics,
    values: Vec<Array<T>>,
    data: &AdaptData,
    settings: &AdaptSettings,
) -> Result<Store<T>> {
    let own = std::mem::replace(&mut objective.store.values, values);
    let batches = sample(objective, data, settings);
    let there = match objective.store.buffers.is_empty() {
        true => Ok(objective.store.clone()),
        false => objective.recalibrated(which, batches),
    };
    objective.store.values = own;
    Ok(there?)
}

fn measure<T: Real>(
    objective: &Objective<T>,
    store: &Store<T>,
    data: &AdaptData,
    settings: &AdaptSettings,
    (steps, seconds): (u64, f64),
) -> Result<StepEvaluation> {
    let on = |source: &Source| {
        evaluate_with(objective, store, source, data.classes).map_err(|e| match e {
            Error::NotFinite { place } if steps > 0 => diverged("the loss in evaluation", steps, Some(place)),
            e => e,
        })
    };
    let held_out = |source: &Source| {
        let e = on(source)?;
        Ok::<_, Error>(HeldOut { loss: e.loss, accuracy: e.accuracy().ok_or(Error::NoClasses)? })
    };
    let held_out = data.held_out.as_ref().map(held_out).transpose()?;
    let predictions = match objective.loss {
        Loss::Entropy => Some(Predictions::of(objective, store, sample(objective, data, settings))?),
        _ => None,
    };
    let e = on(&data.evaluate)?;
    Ok(StepEvaluation {
        steps,
        seconds,
        loss: e.loss,
        accuracy: e.accuracy().ok_or(Error::NoClasses)?,
        held_out,
        predictions,
    })
}
