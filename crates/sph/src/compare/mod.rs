//! Comparisons: the runs of several optimizers, models, data sets and seeds, and what they say together.
//!
//! [`job`] says what a run is, [`plan`] makes runs out of settings, [`tuning`] chooses settings by trials, [`processes`] carries runs out, [`results`] reads and
//! averages them.

pub mod job;
pub mod plan;
pub mod processes;
pub mod results;
pub mod tuning;
