//! What watches a run, one file each.

mod console;
mod curvature_log;
mod epoch_csv;
mod event_proto;
mod summary;
mod tensorboard;

pub use console::Console;
pub use curvature_log::CurvatureLog;
pub use summary::Summary;
pub use tensorboard::TensorBoard;

use crate::error::Result;
use crate::score::Score;
use sph_optim::BlockReport;

/// A step that was just taken.
#[derive(Debug, Clone, Copy)]
pub struct StepEvent {
    /// The step, counted from 1 over the whole run.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs in the run.
    pub epochs: usize,
    /// Batch in the epoch, from 0.
    pub batch: usize,
    /// Batches in the epoch.
    pub batches: usize,
    /// Learning rate.
    pub lr: f64,
    /// Loss of the step's images.
    pub batch_loss: f64,
    /// The epoch so far, each image before its step.
    pub train: Score,
    /// Images per second, recent median.
    pub images_per_s: f64,
    /// Time of a gradient with curvature over one without, minus 1.
    pub overhead: Option<f64>,
}

/// How good a model is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluated {
    /// On the held-out images, where there are any.
    pub validation: Option<Score>,
    /// On the test images.
    pub test: Score,
}

/// What a run will take, measured on its first steps.
#[derive(Debug, Clone, Copy)]
pub struct EstimateEvent {
    /// The first and the last step that were measured, counted from 1 in this process.
    pub measured: (usize, usize),
    /// Their mean time in milliseconds, waiting for data included.
    pub step_ms: f64,
    /// Time of evaluating one batch in milliseconds, measured once.
    pub evaluation_ms: f64,
    /// Epochs that are not finished.
    pub epochs: usize,
    /// Seconds until the end of the run: steps and evaluations that are left.
    pub seconds: f64,
    /// The largest resident memory so far in 10⁶ bytes; later steps need as much. `None` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
}

/// An epoch that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EpochEvent {
    /// Steps taken so far.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs in the run.
    pub epochs: usize,
    /// Learning rate of its last step.
    pub lr: f64,
    /// In training, each image before its step.
    pub train: Score,
    /// On the held-out images, where there are any.
    pub validation: Option<Score>,
    /// On the test images.
    pub test: Score,
    /// The average of weights, where there is one.
    pub average: Option<Evaluated>,
    /// Median time of a step in milliseconds.
    pub step_ms: f64,
    /// Images per second in training.
    pub images_per_s: f64,
    /// Time of a gradient with curvature over one without, minus 1.
    pub overhead: Option<f64>,
    /// Seconds since the run began.
    pub seconds: f64,
}

/// What the optimizer knows of the curvature of its blocks at the end of an epoch.
#[derive(Debug, Clone, Copy)]
pub struct CurvatureEvent<'a> {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Steps taken so far.
    pub step: u64,
    /// One report per block that was visited; none for optimizers without blocks.
    pub blocks: &'a [BlockReport],
}

/// Watches a run. Observers do all of its output; the loop does none.
pub trait Observer {
    /// A step was taken.
    ///
    /// # Errors
    /// When output fails.
    fn step(&mut self, event: &StepEvent) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// The first steps were measured.
    ///
    /// # Errors
    /// When output fails.
    fn estimate(&mut self, event: &EstimateEvent) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// An epoch has ended.
    ///
    /// # Errors
    /// When output fails.
    fn epoch(&mut self, event: &EpochEvent) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// The curvature at the end of an epoch.
    ///
    /// # Errors
    /// When output fails.
    fn curvature(&mut self, event: &CurvatureEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }
}
