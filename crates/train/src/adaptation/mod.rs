//! Adapting a trained network to other images: which images, the steps, and the record that is left.

mod adapt;
mod images;
mod judge;
mod record;
mod suffix_average;

pub use adapt::{AdaptData, AdaptSettings, AdaptationResult, Kept, StepEvaluation, adapt};
pub use images::{AdaptOn, AdaptationImages, EvalOn, ImageChoice};
pub use judge::{HeldOut, Keep, Predictions};
pub use record::AdaptationRecord;
