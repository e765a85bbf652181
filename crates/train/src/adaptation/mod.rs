//! Adapting a trained network to other images: which images, the steps, and the record that is left.

mod adapt;
mod images;
mod record;
mod suffix_average;

pub use adapt::{AdaptData, AdaptSettings, AdaptationResult, StepEvaluation, adapt};
pub use images::{AdaptOn, AdaptationImages, EvalOn, ImageChoice};
pub use record::AdaptationRecord;
