//! How far a run is.

use crate::score::Score;
use serde::{Deserialize, Serialize};

/// Everything a run goes on from, beside tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this record.
    pub version: u32,
    /// The run's settings, as in `args.toml`.
    pub args: String,
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// Steps of it already taken.
    pub step: usize,
    /// Sum of batch losses, correct answers and images of the epoch under way.
    pub sums: EpochSums,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// On the test images after the last epoch.
    pub last: Option<Score>,
    /// The best epoch of the average of weights so far.
    pub best_average: Option<Best>,
    /// That of the average of weights after the last epoch.
    pub last_average: Option<Score>,
    /// Seconds spent so far.
    pub seconds: f64,
    /// CPU seconds of its processes so far; 0 where the system does not tell, and before this was kept.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// CRC-32 of the images and labels; `None` before this was kept.
    #[serde(default)]
    pub data_crc32: Option<u32>,
}

impl Progress {
    /// Of a run with these settings before its first step; `data_crc32` is that of its images and labels.
    pub fn new(args: String, data_crc32: u32) -> Self {
        Progress {
            version: VERSION,
            args,
            epoch: 0,
            step: 0,
            sums: EpochSums::default(),
            best: None,
            last: None,
            best_average: None,
            last_average: None,
            seconds: 0.0,
            cpu_seconds: 0.0,
            data_crc32: Some(data_crc32),
        }
    }
}

/// An epoch that was better than all before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, from 0.
    pub epoch: usize,
    /// What it was chosen by, on held-out images where there are any, else on the test images: the accuracy, or where there is none the loss.
    pub chosen_by: f64,
    /// Loss on the test images.
    pub test_loss: f64,
    /// Accuracy on the test images; `None` where answers are no classes.
    pub test_accuracy: Option<f64>,
}

impl Best {
    /// Puts this epoch in the place of `best` if it is better, and says whether it is: on held-out images where there are any, else on the
    /// test images.
    pub(crate) fn update(
        best: &mut Option<Best>,
        epoch: usize,
        validation: Option<Score>,
        test: Score,
    ) -> bool {
        let chosen_by = validation.unwrap_or(test).value();
        let improved = best.is_none_or(|best| test.measure().better(chosen_by, best.chosen_by));
        if improved {
            *best = Some(Best { epoch, chosen_by, test_loss: test.loss, test_accuracy: test.accuracy });
        }
        improved
    }

    /// On the test images.
    pub fn test(&self) -> Score {
        Score { loss: self.test_loss, accuracy: self.test_accuracy }
    }
}

/// The current version of [`Progress`].
pub const VERSION: u32 = 2;

/// What an epoch has added up so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochSums {
    /// Sum over images, or tokens, of the loss.
    pub loss: f64,
    /// Images, or tokens, classified correctly before their step.
    pub correct: u64,
    /// Images, or tokens that count, seen.
    pub images: u64,
}

impl EpochSums {
    /// Mean loss, and accuracy where `classes` are answered.
    pub(crate) fn score(&self, classes: bool) -> Score {
        let images = self.images as f64;
        Score { loss: self.loss / images, accuracy: classes.then(|| self.correct as f64 / images) }
    }
}

/// The part of [`Progress`] that every version has.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) version: u32,
}
