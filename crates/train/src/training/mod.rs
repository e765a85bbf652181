//! Training: epochs of steps, evaluation, checkpoints. [`Trainer`] prints nothing; [`crate::observers`] do.
//!
//! ```
//! use sph_data::DataOptions;
//! use sph_optim::{Curvature, Rule, presets::SphDrs, second_order_blocks};
//! use sph_tensor::Pool;
//! use sph_train::files::RunFolder;
//! use sph_train::training::{TrainSettings, Trainer, Training};
//! use sph_train::{ModelInfo, Objective};
//! use std::sync::atomic::AtomicBool;
//!
//! let data = sph_data::load("digits", &DataOptions::default())?;
//! let info = ModelInfo::new("mlp", "bn", "digits", &DataOptions::default(), &data);
//! let objective = Objective::<f32>::new(info.build(0.0)?, &Pool::new(), 42);
//! let training = Training {
//!     optimizer: SphDrs::default().build(objective.params())?,
//!     blocks: second_order_blocks(objective.params()),
//!     settings: TrainSettings { batch_size: 200, ..TrainSettings::new(1, 0.1) },
//!     info,
//!     objective,
//!     data,
//! };
//! let runs = tempfile::tempdir()?;
//! let mut trainer = Trainer::new(training, RunFolder::planned(runs.path(), "first")?)?;
//! trainer.begin()?;
//! let result = trainer.train(&mut [], &AtomicBool::new(false))?;
//! assert_eq!(result.epochs, 1);
//! assert!(trainer.run().best().is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cautions;
mod result;
mod settings;
mod speed;
mod trainer;
mod weight_average;

pub use result::TrainingResult;
pub use settings::TrainSettings;
pub use trainer::{Trainer, Training};
pub use weight_average::{AverageConfig, WeightAverage};
