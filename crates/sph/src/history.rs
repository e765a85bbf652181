//! What a run left in its folder, read back: settings, epochs, curvature, result.

use crate::adaptation::Measured;
use crate::error::{Error, Result};
use crate::run::RunDir;
use crate::run_result::RunResult;
use crate::table::Table;
use crate::timing::Times;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// A run as its files tell it; it may be under way.
#[derive(Debug, Clone)]
pub struct History {
    /// Its folder.
    pub run: RunDir,
    /// Its settings.
    pub settings: RunSettings,
    /// The epochs it has behind it.
    pub epochs: Vec<Epoch>,
    /// Curvature by epoch and block; empty for optimizers without blocks.
    pub curvature: Vec<BlockCurvature>,
    /// How it ended; `None` before its end.
    pub result: Option<RunResult>,
}

/// What is said of a run's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// The model's name.
    pub model: String,
    /// The data set's name.
    pub dataset: String,
    /// The optimizer's name.
    pub optimizer: String,
    /// Its learning rate.
    pub lr: f64,
    /// The run's seed.
    pub seed: u64,
    /// Epochs that it has when it is finished.
    pub epochs: usize,
    /// All of them, as text.
    pub text: String,
}

/// A row of `summary.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean training loss and accuracy, each image before its step.
    pub train: (f64, f64),
    /// Loss and accuracy on held-out images, where there are any.
    pub validation: Option<(f64, f64)>,
    /// Loss and accuracy on the test images.
    pub test: (f64, f64),
    /// Those of the average of weights, where there is one.
    pub average: Option<(f64, f64)>,
    /// Median time of a step in milliseconds.
    pub step_ms: f64,
    /// Seconds since the run began, interruptions left out.
    pub seconds: f64,
}

/// A row of `curvature.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockCurvature {
    /// Counted from 1.
    pub epoch: usize,
    /// The block's name.
    pub block: String,
    /// Sum of the averaged curvature.
    pub trace: f64,
    /// Fraction of it that is negative.
    pub negative: f64,
    /// Median of the effective multipliers.
    pub multiplier: f64,
}

impl History {
    /// Reads what a run of these settings left in its folder.
    ///
    /// # Errors
    /// When a file is not what `sph train` writes.
    pub fn read(run: RunDir, settings: RunSettings) -> Result<Self> {
        let path = run.summary();
        let epochs = Table::read(&path)?.map_or(Ok(Vec::new()), |table| {
            table.map(&path, |row| {
                Some(Epoch {
                    epoch: row.number("epoch")?,
                    lr: row.number("lr")?,
                    train: (row.number("train_loss")?, row.number("train_accuracy")?),
                    validation: row.number("val_loss").zip(row.number("val_accuracy")),
                    test: (row.number("test_loss")?, row.number("test_accuracy")?),
                    average: row.number("ema_test_loss").zip(row.number("ema_test_accuracy")),
                    step_ms: row.number("step_ms")?,
                    seconds: row.number("seconds")?,
                })
            })
        })?;
        let path = run.curvature();
        let curvature = Table::read(&path)?.map_or(Ok(Vec::new()), |table| {
            table.map(&path, |row| {
                Some(BlockCurvature {
                    epoch: row.number("epoch")?,
                    block: row.text("block")?.into(),
                    trace: row.number("trace")?,
                    negative: row.number("fraction_negative")?,
                    multiplier: row.number("multiplier_median")?,
                })
            })
        })?;
        let result = run.read_result()?;
        Ok(History { run, settings, epochs, curvature, result })
    }
}

/// An adaptation as `sph adapt --json` tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Adaptation {
    /// Its settings, by flags.
    pub settings: serde_json::Value,
    /// The CRC-32 of the file that the network came from; `None` in a record from before this was kept.
    #[serde(default)]
    pub checkpoint_crc32: Option<u32>,
    /// The network as it was.
    pub before: Measured,
    /// With recalibrated statistics: first without a step, last after all of them.
    pub evaluations: Vec<Measured>,
    /// The loss that is minimised, of each step's batch before the step.
    pub train_loss: Vec<f64>,
    /// The time of each step, its batch included.
    pub step_seconds: Vec<f64>,
    /// CPU seconds of the process; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// Largest resident memory in 10⁶ bytes; `None` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
}

impl Adaptation {
    /// Reads the file that it was written to.
    ///
    /// # Errors
    /// When there is none, or it is something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|e| Error::data(path, e.to_string()))?;
        let read: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::data(path, format!("{e}; not what sph adapt --json prints, remove it")))?;
        if read.evaluations.is_empty() || read.train_loss.is_empty() {
            return Err(Error::data(path, "no steps or evaluations in it; remove it"));
        }
        if read.step_seconds.iter().any(|s| Duration::try_from_secs_f64(*s).is_err()) {
            return Err(Error::data(path, "times of steps that are none in it; remove it"));
        }
        Ok(read)
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
        let row = |m: &Measured| {
            let steps = (m.steps as usize).min(self.train_loss.len());
            let since = &self.train_loss[behind.min(steps)..steps.max(1)];
            behind = steps;
            Epoch {
                epoch: steps,
                lr: self.settings["lr"].as_f64().unwrap_or(f64::NAN),
                train: (since.iter().sum::<f64>() / since.len() as f64, f64::NAN),
                validation: None,
                test: (m.loss, m.accuracy),
                average: None,
                step_ms,
                seconds: m.seconds,
            }
        };
        self.evaluations.iter().map(row).collect()
    }
}
