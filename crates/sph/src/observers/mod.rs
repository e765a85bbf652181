//! What watches a run, one file each.

mod console;
mod curvature_log;
mod epoch_csv;
mod summary;

pub use console::Console;
pub use curvature_log::CurvatureLog;
pub use summary::Summary;

use crate::error::Result;
use sph_optim::BlockReport;

/// A step that was just taken.
#[derive(Debug, Clone, Copy)]
pub struct StepEvent {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Batch in the epoch, from 0.
    pub batch: usize,
    /// Batches in the epoch.
    pub batches: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Accuracy of the epoch so far, each image before its step.
    pub accuracy: f64,
    /// Images per second, recent median.
    pub images_per_s: f64,
    /// Time of a gradient with curvature over one without, minus 1.
    pub overhead: Option<f64>,
}

/// Loss and accuracy of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluated {
    /// On the held-out images, where there are any.
    pub validation: Option<(f64, f64)>,
    /// On the test images.
    pub test: (f64, f64),
}

/// An epoch that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EpochEvent {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs in the run.
    pub epochs: usize,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Training accuracy, each image before its step.
    pub train_accuracy: f64,
    /// Loss and accuracy on the held-out images, where there are any.
    pub validation: Option<(f64, f64)>,
    /// Loss and accuracy on the test images.
    pub test: (f64, f64),
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
