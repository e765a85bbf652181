//! SPH-DRS: training networks with exact second-order steps where they are cheap.
//!
//! The library behind the `sph` command. [`Objective`] is a network's mini-batch loss as an optimizer sees it;
//! [`train_loop::Trainer`] is the loop; [`sph_data`] reads data sets; [`checkpoint`] reads and writes files; [`observers`]
//! watch a run.
//!
//! The idea, in one paragraph: networks are trained by momentum SGD, except their 1-D parameters (scale and shift of
//! normalization layers). For those, a second back-propagation gives exact products with their partial Hessian, without
//! forming it, for about a third of a step's cost averaged over blocks spread evenly through the depth; steps on them are divided by the averaged, rectified curvature
//! ("SGD with Partial Hessian", Sun, Yong and Zhang, arXiv 2403.02681, and its successor SPH-DRS).

pub mod adaptation;
pub mod adaptation_setup;
pub mod checkpoint;
pub mod commands;
pub mod compare;
pub mod config;
pub mod corruption_sheet;
mod cost;
mod error;
pub mod evaluation;
pub mod explain;
pub mod export;
mod finished_run;
pub mod history;
pub mod inspection;
#[cfg(all(test, unix))]
mod killed;
pub mod mistakes;
mod model_info;
pub mod model_source;
mod objective;
pub mod observers;
mod per_example;
pub mod report;
pub mod run;
pub mod run_result;
mod suffix_average;
mod table;
pub mod timing;
pub mod train_loop;
pub mod training_setup;
pub mod weight_average;

pub use error::{Error, Result};
pub use model_info::ModelInfo;
pub use objective::Objective;
pub use sph_data::Batch;

/// The Rust blocks of the README and of the book's chapters are compiled, and run, as tests of documentation.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/model.md")]
    mod model {}
    #[doc = include_str!("../../../docs/op.md")]
    mod op {}
    #[doc = include_str!("../../../docs/optimizer.md")]
    mod optimizer {}
    #[doc = include_str!("../../../docs/files.md")]
    mod files {}
}
