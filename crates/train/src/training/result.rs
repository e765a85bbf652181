//! What a training came to.

use crate::files::{Best, RunResult};
use crate::process;

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
    /// Loss and accuracy on the test images after the last epoch.
    pub last: Option<(f64, f64)>,
    /// The best epoch of the average of weights, where there is one.
    pub best_average: Option<Best>,
    /// Loss and accuracy of the average of weights after the last epoch.
    pub last_average: Option<(f64, f64)>,
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
        RunResult {
            test_accuracy: o.best.map(|b| b.test_accuracy),
            test_loss: o.best.map(|b| b.test_loss),
            best_epoch: o.best.map(|b| b.epoch + 1),
            chosen_on: if o.chosen_on_validation { "validation" } else { "test" }.into(),
            final_test_accuracy: o.last.map(|l| l.1),
            final_test_loss: o.last.map(|l| l.0),
            ema_test_accuracy: o.best_average.map(|b| b.test_accuracy),
            final_ema_test_accuracy: o.last_average.map(|l| l.1),
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
