//! What chooses among the points of an adaptation, without the images that judge it in the end.

use crate::error::Result;
use crate::evaluation::argmax;
use crate::objective::Objective;
use serde::{Deserialize, Serialize};
use sph_autodiff::ops::probabilities;
use sph_data::Batch;
use sph_nn::{Real, Store};

/// Which of the evaluated points an adaptation ends at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// That with the least loss on held-out images; without labels that whose predictions tell most of their images, of those that have not
    /// collapsed. The first of equal ones, and the last where there is nothing to choose by.
    Best,
    /// The last.
    Last,
}

impl Keep {
    /// Names, values, and what each is.
    pub const ALL: [(&'static str, Self, &'static str); 2] = [
        (
            "best",
            Self::Best,
            "With labels the one with the least loss on held-out images, without the one with the most information",
        ),
        ("last", Self::Last, "The last, whatever it is like"),
    ];
}

/// A network on labelled images that are not adapted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Fraction classified correctly.
    pub accuracy: f64,
}

/// What a network's predictions on images are like, without their labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Mean entropy of the predictions of an image, in nats.
    pub entropy: f64,
    /// How much a prediction tells of its image: the entropy of the mean prediction minus `entropy`, in nats (Bridle, Heading and MacKay,
    /// NIPS 1991).
    pub information: f64,
    /// Over how many classes predictions are spread: the exponential of the entropy of the mean prediction.
    pub classes: f64,
    /// The class that most images are given to.
    pub largest_class: usize,
    /// The fraction of the images that is given to it.
    pub largest_share: f64,
}

impl Predictions {
    /// Those of a network with the values of `store` on `batches`, in evaluation mode.
    ///
    /// # Errors
    /// When a batch does not fit the network.
    pub fn of<T: Real>(
        objective: &Objective<T>,
        store: &Store<T>,
        batches: impl Iterator<Item = Batch<T>>,
    ) -> Result<Self> {
        let entropy = |p: &[f64]| p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum::<f64>();
        let (mut sum, mut entropies, mut counts, mut images) = (Vec::new(), 0.0, Vec::new(), 0usize);
        for batch in batches {
            let (_, logits) = objective.evaluate_with(store, &batch)?;
            let classes = logits.shape().last();
            sum.resize(classes, 0.0);
            counts.resize(classes, 0usize);
            let mut p = vec![0.0; classes];
            for row in logits.as_slice().chunks_exact(classes) {
                probabilities(row, &mut p);
                entropies += entropy(&p);
                sum.iter_mut().zip(&p).for_each(|(sum, p)| *sum += p);
                counts[argmax(row)] += 1;
            }
            images += batch.len();
        }
        let n = images.max(1) as f64;
        let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
        let largest_class =
            (0..counts.len()).fold(0, |best, i| if counts[i] > counts[best] { i } else { best });
        Ok(Predictions {
            entropy: entropies / n,
            information: entropy(&mean) - entropies / n,
            classes: entropy(&mean).exp(),
            largest_class,
            largest_share: counts.get(largest_class).map_or(0.0, |c| *c as f64 / n),
        })
    }

    /// Whether they are spread over clearly fewer classes than in `before`: less than nine tenths. Steps that help get surer of as many
    /// classes as there were; steps that harm move images into classes that are large already.
    pub fn collapsed(&self, before: &Predictions) -> bool {
        self.classes < 0.9 * before.classes
    }
}
