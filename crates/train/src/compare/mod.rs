//! Comparisons: what is compared, by which rule settings are chosen, and what finished runs say together.
//!
//! A [`Configuration`] has [`Setting`]s with values; [`Tuning`] is the rule by which they are chosen, and [`Trials`] what was tried. What
//! [`FinishedRun`]s left is averaged in [`Results`]. A [`Lock`] keeps a comparison's folder from others.

mod configuration;
mod finished;
mod job;
mod lock;
mod results;
mod setting;
mod trials;
mod tuning;

pub use configuration::{Configuration, spelled};
pub use finished::{Ending, FinishedRun};
pub use job::{Job, NOTHING};
pub use lock::Lock;
pub use results::{Group, Quantity, Results, Statistic};
pub use setting::{Range, Setting, Values};
pub use trials::Trials;
pub use tuning::{BudgetFit, Cost, Search, TrialResult, Tuned, Tuning, TuningError, fit_budget};
