//! Comparisons: the runs of several optimizers, models, data sets and seeds, and what they say together.
//!
//! [`plan`] makes runs out of settings, [`tuning`] chooses settings by trials, [`processes`] carries runs out, [`results`] reads and
//! averages them.

pub mod plan;
pub mod processes;
pub mod results;
pub mod tuning;
