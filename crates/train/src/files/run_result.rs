//! How a run ended.

use crate::score::Score;
use serde::{Deserialize, Serialize};

/// How a run ended: `result.json`, and what `sph train` prints as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// What was minimised, by name; `None` for cross-entropy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Accuracy on the test images after the best epoch, from 0 to 1, of tokens where these are answered; `None` where answers are no
    /// classes, and epochs are chosen by the loss.
    pub test_accuracy: Option<f64>,
    /// Loss on the test images after the best epoch.
    pub test_loss: Option<f64>,
    /// The best epoch, counted from 1.
    pub best_epoch: Option<usize>,
    /// What the best epoch was chosen on: `validation` or `test`.
    pub chosen_on: String,
    /// Accuracy on the test images after the last epoch.
    pub final_test_accuracy: Option<f64>,
    /// Loss on the test images after the last epoch.
    pub final_test_loss: Option<f64>,
    /// Accuracy of the average of weights on the test images after its best epoch; `None` where none is kept.
    pub ema_test_accuracy: Option<f64>,
    /// Accuracy of the average of weights on the test images after the last epoch.
    pub final_ema_test_accuracy: Option<f64>,
    /// Loss of the average of weights on the test images after its best epoch, where there is no accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_test_loss: Option<f64>,
    /// Loss of the average of weights on the test images after the last epoch, where there is no accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_ema_test_loss: Option<f64>,
    /// The CRC-32 of the images and labels of the data set; `None` in a result from before this was kept.
    #[serde(default)]
    pub data_crc32: Option<u32>,
    /// Epochs trained.
    pub epochs: usize,
    /// It ended before its last epoch because the best one was too long ago.
    pub stopped_early: bool,
    /// Seconds of training, interruptions left out.
    pub seconds: f64,
    /// CPU seconds of the run's processes, all threads together; `None` where the system does not tell.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// Median time of a step in milliseconds.
    pub step_ms_median: Option<f64>,
    /// Time of a gradient with curvature over one without, minus 1; `None` where it was not measured.
    pub curvature_overhead: Option<f64>,
    /// Largest resident memory of the process that ended the run, in 10⁶ bytes; `None` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
}

impl RunResult {
    /// On the test images after the best epoch.
    pub fn best(&self) -> Option<Score> {
        self.test_loss.map(|loss| Score { loss, accuracy: self.test_accuracy })
    }

    /// On the test images after the last epoch.
    pub fn last(&self) -> Option<Score> {
        self.final_test_loss.map(|loss| Score { loss, accuracy: self.final_test_accuracy })
    }

    /// What the average of weights is compared by on the test images after the last epoch.
    pub fn last_average(&self) -> Option<f64> {
        self.final_ema_test_accuracy.or(self.final_ema_test_loss)
    }
}
