//! Training neural networks by optimizers that ask for exact curvature: everything between a network and the command `sph`.
//!
//! - [`Objective`]: a network's mini-batch loss as an optimizer sees it, with exact products with its Hessian.
//! - [`training`]: the loop. [`observers`] watch a run; [`files`] are what it leaves and goes on from; [`history`] reads them back.
//! - [`adaptation`]: a trained network made to fit other images by a few of its parameters.
//! - [`inspect`]: how diagonal a network's curvature is.
//! - [`evaluation`], [`mistakes`]: what a network makes of labelled images.
//! - [`export`]: trained networks for PyTorch and ONNX.
//! - [`explain`], [`cost`]: where the time of a step goes, and what a network costs.
//! - [`compare`]: which settings are compared, by which rule they are chosen, and what the runs say together.
//!
//! Errors call settings by their names in backquotes (`val-split`). Nothing here knows flags or files of settings.

pub mod adaptation;
pub mod compare;
pub mod cost;
mod error;
pub mod evaluation;
pub mod explain;
pub mod export;
mod few_images;
pub mod files;
pub mod history;
pub mod inspect;
#[cfg(all(test, unix))]
mod killed;
mod loaded_model;
pub mod mistakes;
mod model_info;
mod objective;
pub mod observers;
mod per_example;
pub mod process;
mod score;
pub mod timing;
pub mod training;

pub use error::{Divergence, Error, Result};
pub use loaded_model::{LoadedModel, NormalisedBy, TrainingOverlap, as_flags};
pub use model_info::ModelInfo;
pub use objective::Objective;
pub use score::{Measure, Score, answers_of};
pub use sph_data::Batch;
