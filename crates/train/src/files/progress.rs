//! How far a run is.

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
    /// Loss and accuracy on the test images after the last epoch.
    pub last: Option<(f64, f64)>,
    /// The best epoch of the average of weights so far.
    pub best_average: Option<Best>,
    /// Loss and accuracy of the average of weights after the last epoch.
    pub last_average: Option<(f64, f64)>,
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
    /// The accuracy it was chosen by: on held-out images where there are any, else on the test images.
    pub chosen_by: f64,
    /// Loss on the test images.
    pub test_loss: f64,
    /// Accuracy on the test images.
    pub test_accuracy: f64,
}

impl Best {
    /// Puts this epoch in the place of `best` if it is better, and says whether it is: by the accuracy on held-out images where there are
    /// any, else on the test images. Pairs are loss and accuracy.
    pub(crate) fn update(
        best: &mut Option<Best>,
        epoch: usize,
        validation: Option<(f64, f64)>,
        test: (f64, f64),
    ) -> bool {
        let chosen_by = validation.map_or(test.1, |v| v.1);
        let improved = best.is_none_or(|best| chosen_by > best.chosen_by);
        if improved {
            *best = Some(Best { epoch, chosen_by, test_loss: test.0, test_accuracy: test.1 });
        }
        improved
    }
}

/// The current version of [`Progress`].
pub const VERSION: u32 = 2;

/// What an epoch has added up so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochSums {
    /// Sum over images of the loss.
    pub loss: f64,
    /// Images classified correctly before their step.
    pub correct: u64,
    /// Images seen.
    pub images: u64,
}

/// The part of [`Progress`] that every version has.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) version: u32,
}
