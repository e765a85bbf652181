//! What a training came to.

use crate::files::{Best, RunResult};
use crate::process;
use crate::score::{Measure, Score};
use sph_nn::losses::Loss;

/// What a training came to, or has come to so far.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingResult {
    /// Ended early because it was told to; it can be resumed.
    pub interrupted: bool,
    /// Ended before its last epoch because the best one was too long ago.
    pub stopped_early: bool,
    /// Epochs finished.
    pub epochs: usize,
    /// The CRC-32 of the data set's images and labels.
    pub data_crc32: Option<u32>,
    /// The best epoch.
    pub best: Option<Best>,
    /// On the test images after the last epoch.
    pub last: Option<Score>,
    /// The best epoch of the average of weights, where there is one.
    pub best_average: Option<Best>,
    /// That of the average of weights after the last epoch.
    pub last_average: Option<Score>,
    /// What was minimised.
    pub loss: Loss,
    /// The best epoch was chosen on held-out images, not on the test set.
    pub chosen_on_validation: bool,
    /// Seconds of training, over the whole run, interruptions left out.
    pub seconds: f64,
    /// CPU seconds of this process and of those that trained the run before; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// Median time of a step in milliseconds.
    pub step_ms: Option<f64>,
    /// Time of a gradient with curvature over one without, minus 1.
    pub overhead: Option<f64>,
}

impl From<&TrainingResult> for RunResult {
    /// The record of a training that ends in this process.
    fn from(o: &TrainingResult) -> Self {
        // Where there are accuracies they say it all.
        let only_loss = |score: Option<Score>| score.filter(|s| s.measure() == Measure::Loss).map(|s| s.loss);
        RunResult {
            loss: (o.loss != Loss::CrossEntropy).then(|| o.loss.name().into()),
            test_accuracy: o.best.and_then(|b| b.test_accuracy),
            test_loss: o.best.map(|b| b.test_loss),
            best_epoch: o.best.map(|b| b.epoch + 1),
            chosen_on: if o.chosen_on_validation { "validation" } else { "test" }.into(),
            final_test_accuracy: o.last.and_then(|l| l.accuracy),
            final_test_loss: o.last.map(|l| l.loss),
            ema_test_accuracy: o.best_average.and_then(|b| b.test_accuracy),
            final_ema_test_accuracy: o.last_average.and_then(|l| l.accuracy),
            ema_test_loss: only_loss(o.best_average.map(|b| b.test())),
            final_ema_test_loss: only_loss(o.last_average),
            data_crc32: o.data_crc32,
            epochs: o.epochs,
            stopped_early: o.stopped_early,
            seconds: o.seconds,
            cpu_seconds: o.cpu_seconds,
            step_ms_median: o.step_ms,
            curvature_overhead: o.overhead,
            peak_rss_mb: process::peak_rss_mb(),
        }
    }
}
