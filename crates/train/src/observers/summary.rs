//! `summary.csv`: one row per epoch.

use super::epoch_csv::EpochCsv;
use super::{EpochEvent, Observer};
use crate::error::Result;
use crate::score::Score;
use std::path::Path;

const HEADER: [&str; 16] = [
    "epoch",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "step_ms",
    "images_per_s",
    "curvature_overhead",
    "seconds",
    "ema_val_loss",
    "ema_val_accuracy",
    "ema_test_loss",
    "ema_test_accuracy",
];

/// Writes a row of the summary after every epoch.
pub struct Summary(EpochCsv);

impl Summary {
    /// A summary at `path` that keeps the rows of the first `epochs` epochs of the file there.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn new(path: &Path, epochs: usize) -> Result<Self> {
        EpochCsv::open(path, &HEADER, epochs).map(Summary)
    }
}

impl Observer for Summary {
    fn epoch(&mut self, e: &EpochEvent) -> Result<()> {
        let optional = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        let score = |score: Option<Score>| {
            [optional(score.map(|s| s.loss)), optional(score.and_then(|s| s.accuracy))]
        };
        let mut row = vec![(e.epoch + 1).to_string(), e.lr.to_string()];
        row.extend([Some(e.train), e.validation, Some(e.test)].into_iter().flat_map(score));
        row.extend([
            e.step_ms.to_string(),
            e.images_per_s.to_string(),
            optional(e.overhead),
            e.seconds.to_string(),
        ]);
        row.extend(
            [e.average.and_then(|a| a.validation), e.average.map(|a| a.test)].into_iter().flat_map(score),
        );
        self.0.add([row])
    }
}
