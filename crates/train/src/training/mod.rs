//! Training: epochs of steps, evaluation, checkpoints. [`Trainer`] prints nothing; [`crate::observers`] do.

mod result;
mod settings;
mod speed;
mod trainer;
mod weight_average;

pub use result::TrainingResult;
pub use settings::TrainSettings;
pub use trainer::{Trainer, Training};
pub use weight_average::{AverageConfig, WeightAverage};
