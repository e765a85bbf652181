//! Comparisons: what is compared, by which rule settings are chosen, and what finished runs say together.
//!
//! A [`Configuration`] has [`Setting`]s with values; [`Tuning`] is the rule by which they are chosen, and [`Trials`] what was tried. What
//! [`FinishedRun`]s left is averaged in [`Results`]. A [`Lock`] keeps a comparison's folder from others.

mod budget;
mod configuration;
mod finished;
mod job;
mod lock;
mod quantities;
mod results;
mod search;
mod setting;
mod statistic;
mod trials;
mod tuning;

pub use budget::{BudgetFit, Cost, fit_budget};
pub use configuration::{Configuration, spelled};
pub use finished::{Ending, FinishedRun};
pub use job::{Job, NOTHING};
pub use lock::Lock;
pub use quantities::Quantity;
pub use results::{Group, Results};
pub use search::{Search, TrialResult, Tuned};
pub use setting::{Range, Setting, Values};
pub use statistic::Statistic;
pub use trials::Trials;
pub use tuning::{Tuning, TuningError};
