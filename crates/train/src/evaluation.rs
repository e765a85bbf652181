//! A network on labelled images: loss and accuracy.

use crate::error::{Error, Result};
use crate::objective::Objective;
use sph_data::loader::Source;
use sph_nn::{Mode, Real, Store};
use sph_tensor::Array;

/// What a network makes of labelled images.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Per class: images, and how many of them were classified correctly.
    pub classes: Vec<(u64, u64)>,
}

impl Evaluation {
    /// Number of images.
    pub fn images(&self) -> u64 {
        self.classes.iter().map(|c| c.0).sum()
    }

    /// Fraction classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.classes.iter().map(|c| c.1).sum::<u64>() as f64 / self.images().max(1) as f64
    }
}

/// The position of the largest entry; the first of equal ones.
pub fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Evaluates a network on all images of `source`, of `classes` classes.
///
/// # Errors
/// When the images do not fit the network, or its outputs are not finite.
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
    let mut counts = vec![(0, 0); classes];
    let mut loss = 0.0;
    for batch in source.in_order(objective.pool()) {
        let (batch_loss, logits) = objective.evaluate_with(store, &batch)?;
        if !batch_loss.is_finite() {
            let place = objective.first_non_finite(store, &batch, Mode::Eval);
            let place = place.unwrap_or_else(|| "the loss".into());
            return Err(Error::NotFinite { place });
        }
        loss += batch_loss * batch.len() as f64;
        for (row, target) in logits.as_slice().chunks_exact(logits.shape().last()).zip(&*batch.targets) {
            let (images, right) = &mut counts[*target as usize];
            *images += 1;
            *right += u64::from(argmax(row) == *target as usize);
        }
    }
    Ok(Evaluation { loss: loss / source.set.len().max(1) as f64, classes: counts })
}

/// How many rows of logits have their largest entry at the target; the first of equal ones counts.
pub(crate) fn correct<T: Real>(logits: &Array<T>, targets: &[u32]) -> u64 {
    let rows = logits.as_slice().chunks_exact(logits.shape().last());
    let right = |(row, target): &(&[T], &u32)| argmax(row) == **target as usize;
    rows.zip(targets).filter(right).count() as u64
}
