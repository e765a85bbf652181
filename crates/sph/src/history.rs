//! What a run left in its folder, read back: settings, epochs, curvature, result.

use crate::config::{TrainArgs, shown};
use crate::csv::Table;
use crate::error::{Error, Result};
use crate::run::RunDir;
use serde::{Deserialize, Serialize};

/// A run as its files tell it; it may be under way.
#[derive(Debug, Clone)]
pub struct History {
    /// Its folder.
    pub run: RunDir,
    /// Its settings.
    pub args: TrainArgs,
    /// The epochs it has behind it.
    pub epochs: Vec<Epoch>,
    /// Curvature by epoch and block; empty for optimizers without blocks.
    pub curvature: Vec<BlockCurvature>,
    /// How it ended; `None` before its end.
    pub result: Option<RunResult>,
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

/// How a run ended: `result.json`, and what `sph train --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Accuracy on the test images after the best epoch, from 0 to 1.
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
    /// Accuracy of the average of weights on the test images after its best epoch; `None` without `--model-ema`.
    pub ema_test_accuracy: Option<f64>,
    /// Accuracy of the average of weights on the test images after the last epoch.
    pub final_ema_test_accuracy: Option<f64>,
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

impl History {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// When there is no run in it, or a file is not what `sph train` writes.
    pub fn read(run: RunDir) -> Result<Self> {
        let path = run.args();
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Error::data(&path, format!("{e}; a run's folder holds its settings under this name"))
        })?;
        let args = TrainArgs::from_toml(&text, &shown(&path))?;
        let path = run.summary();
        let epochs = Table::read(&path)?.map_or(Ok(Vec::new()), |table| {
            table.map(&path, |row| {
                Some(Epoch {
                    epoch: row.number("epoch")?,
                    lr: row.number("lr")?,
                    train: (row.number("train_loss")?, row.number("train_accuracy")?),
                    validation: row.number("val_loss").zip(row.number("val_accuracy")),
                    test: (row.number("test_loss")?, row.number("test_accuracy")?),
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
        Ok(History { run, args, epochs, curvature, result })
    }
}
