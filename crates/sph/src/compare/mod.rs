//! Comparisons: the runs of several optimizers, models, data sets and seeds, and what they say together.
//!
//! [`plan`] makes runs out of settings, [`processes`] carries them out, [`results`] reads and averages them.

pub mod plan;
pub mod processes;
pub mod results;
