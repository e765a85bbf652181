//! Comparisons: the runs of several optimizers, models, data sets and seeds, and what they say together.
//!
//! From what is asked to what is found: [`flags`], over a file of settings, give a [`plan`] of [`configuration`]s and their runs; [`job`]
//! says what a run is, [`setting`] which values its settings have. [`tuning`] is the rule by which settings are chosen, [`trials`] carries
//! it out. A [`round`] is carried out by [`processes`], in a folder that [`lock`] keeps from others. What a [`finished`] run left is averaged
//! in [`results`].

pub mod configuration;
mod file;
pub mod finished;
pub mod flags;
pub mod job;
pub mod lock;
pub mod plan;
pub mod processes;
pub mod results;
pub mod round;
pub mod setting;
pub mod trials;
pub mod tuning;
