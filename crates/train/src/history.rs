//! What a run left in its folder, read back: settings, epochs, curvature, result.

use crate::error::Result;
use crate::files::{RunFolder, RunResult, Table};
use crate::score::Score;

/// A run as its files tell it; it may be under way.
#[derive(Debug, Clone)]
pub struct History {
    /// Its folder.
    pub run: RunFolder,
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
    /// In training, each image before its step.
    pub train: Score,
    /// On held-out images, where there are any.
    pub validation: Option<Score>,
    /// On the test images.
    pub test: Score,
    /// That of the average of weights, where there is one.
    pub average: Option<Score>,
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
    pub fn read(run: RunFolder, settings: RunSettings) -> Result<Self> {
        let path = run.summary();
        let epochs = Table::read(&path)?.map_or(Ok(Vec::new()), |table| {
            table.map(&path, |row| {
                // An accuracy is left out where there is none.
                let score = |loss: &str, accuracy: &str| {
                    Some(Score { loss: row.number(loss)?, accuracy: row.number(accuracy) })
                };
                Some(Epoch {
                    epoch: row.number("epoch")?,
                    lr: row.number("lr")?,
                    train: score("train_loss", "train_accuracy")?,
                    validation: score("val_loss", "val_accuracy"),
                    test: score("test_loss", "test_accuracy")?,
                    average: score("ema_test_loss", "ema_test_accuracy"),
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
