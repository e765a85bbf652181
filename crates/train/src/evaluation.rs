//! A network on samples: loss and, where answers are classes, accuracy.

use crate::error::{Error, Result};
use crate::objective::Objective;
use crate::score::Score;
use sph_data::loader::Source;
use sph_data::{Answers, Batch, IGNORED};
use sph_nn::{Mode, Real, Store};
use sph_tensor::Array;

/// What a network makes of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean loss: cross-entropy, or that of a network without classes.
    pub loss: f64,
    /// Number of samples.
    pub samples: u64,
    /// Per class: answers that count, and how many of them are right; empty where answers are no classes.
    pub classes: Vec<(u64, u64)>,
}

impl Evaluation {
    /// Number of answers that count: of samples, or of tokens.
    pub fn counted(&self) -> u64 {
        self.classes.iter().map(|c| c.0).sum()
    }

    /// Fraction of the answers that are right; `None` where they are no classes.
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.classes.iter().map(|c| c.1).sum::<u64>();
        (!self.classes.is_empty()).then(|| right as f64 / self.counted().max(1) as f64)
    }

    /// Loss and accuracy.
    pub fn score(&self) -> Score {
        Score { loss: self.loss, accuracy: self.accuracy() }
    }
}

/// The position of the largest entry; the first of equal ones.
pub fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Evaluates a network on all samples of `source`, of `classes` classes, where it has classes.
///
/// # Errors
/// When the samples do not fit the network, its outputs are not finite, or no answer counts.
pub fn evaluate<T: Real>(objective: &Objective<T>, source: &Source, classes: usize) -> Result<Evaluation> {
    evaluate_with(objective, &objective.store, source, classes)
}

/// [`evaluate`] with other values of the network's parameters and buffers.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with<T: Real>(
    objective: &Objective<T>,
    store: &Store<T>,
    source: &Source,
    classes: usize,
) -> Result<Evaluation> {
    let classes = if objective.loss.has_classes() { classes } else { 0 };
    let mut counts = vec![(0, 0); classes];
    let (mut loss, mut counted) = (0.0, 0);
    // A batch without answers that count has no mean loss.
    for batch in source.in_order(objective.pool()).filter(|batch| batch.counted() > 0) {
        let (batch_loss, logits) = objective.evaluate_with(store, &batch)?;
        if !batch_loss.is_finite() {
            let place = objective.first_non_finite(store, &batch, Mode::Eval);
            let place = place.unwrap_or_else(|| "the loss".into());
            return Err(Error::NotFinite { place });
        }
        loss += batch_loss * batch.counted() as f64;
        counted += batch.counted();
        if let (Answers::Classes(targets), true) = (&batch.targets, classes > 0) {
            for (right, target) in answered(&logits, targets) {
                let (images, of_class) = &mut counts[target as usize];
                *images += 1;
                *of_class += u64::from(right);
            }
        }
    }
    if counted == 0 {
        return Err(Error::NothingCounts);
    }
    Ok(Evaluation { loss: loss / counted as f64, samples: source.set.len() as u64, classes: counts })
}

/// Whether each row of logits has its largest entry at the target, the first of equal ones, and the target; ignored ones are left out.
fn answered<T: Real>(logits: &Array<T>, targets: &[u32]) -> impl Iterator<Item = (bool, u32)> {
    let rows = logits.as_slice().chunks_exact(logits.shape().last().max(1)).zip(targets);
    rows.filter(|(_, target)| **target != IGNORED)
        .map(|(row, target)| (argmax(row) == *target as usize, *target))
}

/// How many answers of a batch are right; 0 where they are no classes.
pub(crate) fn correct<T: Real>(logits: &Array<T>, batch: &Batch<T>) -> u64 {
    let targets = batch.targets.classes();
    targets.map_or(0, |targets| answered(logits, targets).filter(|(right, _)| *right).count() as u64)
}
