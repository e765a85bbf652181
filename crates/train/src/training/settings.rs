//! How a network is trained.

use super::weight_average::AverageConfig;
use sph_data::Division;
use sph_data::augment::Augmentation;
use sph_optim::lr::{SCHEDULES, ScheduleConfig, ScheduleRow};

/// How a network is trained: how long, on which images, and what is kept beside it.
#[derive(Clone)]
pub struct TrainSettings {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per batch; a last batch of an epoch that is not whole is left out.
    pub batch_size: usize,
    /// Batches whose gradients and curvature are averaged for a step.
    pub accumulate: usize,
    /// Stop after this many epochs in a row without a new best one.
    pub patience: Option<usize>,
    /// The learning rate over the run.
    pub schedule: (&'static ScheduleRow, ScheduleConfig),
    /// Seed of the order of the images and of their random changes.
    pub seed: u64,
    /// Random changes of training images.
    pub augmentation: Augmentation,
    /// How the training images are divided.
    pub division: Division,
    /// Evaluate on so many of the test images, and of those held out; on all where it is `None`.
    pub eval_images: Option<usize>,
    /// The average of weights that is kept beside the model.
    pub average: Option<AverageConfig>,
    /// The run's settings as text: what its folder and its checkpoints say of it.
    pub record: String,
}

impl TrainSettings {
    /// `epochs` of batches of 64 images, a rate that falls from `lr` to 0 by half a cosine, and nothing else.
    pub fn new(epochs: usize, lr: f64) -> Self {
        let config = ScheduleConfig {
            lr,
            min_lr: 0.0,
            epochs: epochs as f64,
            warmup_epochs: 0.0,
            warmup_lr: 0.0,
            decay_epochs: 30.0,
            decay_rate: 0.1,
            power: 1.0,
        };
        TrainSettings {
            epochs,
            batch_size: 64,
            accumulate: 1,
            patience: None,
            schedule: (&SCHEDULES[0], config),
            seed: 42,
            augmentation: Augmentation::default(),
            division: Division::default(),
            eval_images: None,
            average: None,
            record: String::new(),
        }
    }
}
