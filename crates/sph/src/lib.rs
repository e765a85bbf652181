//! The command `sph`: flags, files of settings, and what its commands do with the libraries.
//!
//! The libraries are [`sph_train`] (training, adapting, inspecting), [`sph_report`] (pages), [`sph_data`], [`sph_nn`] and [`sph_optim`].
//! Here flags become their plain values: parse, validate, build, run.
//!
//! The idea, in one paragraph: networks are trained by momentum SGD, except their 1-D parameters (scale and shift of
//! normalization layers). For those, a second back-propagation gives exact products with their partial Hessian, without
//! forming it, for about a third of a step's cost averaged over blocks spread evenly through the depth; steps on them are divided by the averaged, rectified curvature
//! ("SGD with Partial Hessian", Sun, Yong and Zhang, arXiv 2403.02681, and its successor SPH-DRS).

pub mod adaptation_setup;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod config;
mod error;
mod finished_run;
pub mod help;
pub mod model_source;
pub mod training_setup;

pub use error::{Error, Result, in_one_line};

/// The Rust blocks of the READMEs and of the book's chapters are compiled, and run, as tests of documentation.
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
    #[doc = include_str!("../../tensor/README.md")]
    mod crate_tensor {}
    #[doc = include_str!("../../autodiff/README.md")]
    mod crate_autodiff {}
    #[doc = include_str!("../../nn/README.md")]
    mod crate_nn {}
    #[doc = include_str!("../../data/README.md")]
    mod crate_data {}
    #[doc = include_str!("../../optim/README.md")]
    mod crate_optim {}
    #[doc = include_str!("../../train/README.md")]
    mod crate_train {}
}
