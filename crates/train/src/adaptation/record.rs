//! The record that an adaptation leaves.

use super::adapt::StepEvaluation;
use crate::error::{Error, Result};
use crate::history::Epoch;
use crate::score::Score;
use crate::timing::Times;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// An adaptation as its record tells it, which `sph adapt` prints.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AdaptationRecord {
    /// Its settings by name.
    pub settings: serde_json::Value,
    /// The CRC-32 of the file that the network came from; `None` in a record from before this was kept.
    #[serde(default)]
    pub checkpoint_crc32: Option<u32>,
    /// The network as it was.
    pub before: StepEvaluation,
    /// With recalibrated statistics: first without a step, last after all of them.
    pub evaluations: Vec<StepEvaluation>,
    /// The point that was kept; `None` in a record from before this was said: the last.
    #[serde(default)]
    pub kept: Option<StepEvaluation>,
    /// The loss that is minimised, of each step's batch before the step.
    pub train_loss: Vec<f64>,
    /// The time of each step, its batch included.
    pub step_seconds: Vec<f64>,
    /// CPU seconds of the process; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// Largest resident memory in 10⁶ bytes; `None` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
}

impl AdaptationRecord {
    /// Reads the file that it was written to.
    ///
    /// # Errors
    /// When there is none, or it is something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|e| Error::file(path, e.to_string()))?;
        let read: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::file(path, format!("{e}; not what sph adapt `json` prints, remove it")))?;
        if read.evaluations.is_empty() || read.train_loss.is_empty() {
            return Err(Error::file(path, "no steps or evaluations in it; remove it"));
        }
        if read.step_seconds.iter().any(|s| Duration::try_from_secs_f64(*s).is_err()) {
            return Err(Error::file(path, "times of steps that are none in it; remove it"));
        }
        Ok(read)
    }

    /// The point that it ended at.
    pub fn end(&self) -> Option<&StepEvaluation> {
        self.kept.as_ref().or(self.evaluations.last())
    }

    /// Its evaluations as rows: `epoch` is the step; the training loss is the mean over the steps since the row before, of the first row
    /// that of the first batch.
    pub fn rows(&self) -> Vec<Epoch> {
        let mut times = Times::default();
        self.step_seconds
            .iter()
            .for_each(|s| times.push(Duration::try_from_secs_f64(*s).unwrap_or_default()));
        let step_ms = times.median().unwrap_or(0.0);
        let mut behind = 0;
        let row = |m: &StepEvaluation| {
            let steps = (m.steps as usize).min(self.train_loss.len());
            let since = &self.train_loss[behind.min(steps)..steps.max(1)];
            behind = steps;
            Epoch {
                epoch: steps,
                lr: self.settings["lr"].as_f64().unwrap_or(f64::NAN),
                train: Score { loss: since.iter().sum::<f64>() / since.len() as f64, accuracy: None },
                validation: None,
                test: (m.loss, m.accuracy).into(),
                average: None,
                step_ms,
                seconds: m.seconds,
            }
        };
        self.evaluations.iter().map(row).collect()
    }
}
