//! Comparisons as the command carries them out; what they are made of is in [`sph_train::compare`].
//!
//! [`flags`], over a file of settings, give a [`plan`] of configurations and their runs; [`job`] says which settings a run has. [`trials`]
//! carries the tuning rule out, and a [`round`] runs that go together, by [`processes`]. [`finished`] reads what they left.

pub(crate) mod corruptions;
mod file;
pub mod finished;
pub mod flags;
pub mod job;
pub mod plan;
pub mod processes;
pub mod round;
mod setting;
pub mod trials;
