//! The trials of a comparison, as far as they are carried out.

use super::budget::BudgetFit;
use super::configuration::Configuration;
use super::job::Job;
use super::search::Tuned;
use super::tuning::Tuning;

/// The trials that settings were chosen by.
#[derive(Debug, Clone)]
pub struct Trials {
    /// The rule.
    pub tuning: Tuning,
    /// What the budget left, where there is one and it is decided.
    pub fit: Option<BudgetFit>,
    /// The searches, as far as they are carried out.
    pub tuned: Vec<Tuned>,
}

impl Trials {
    /// What is chosen, in the searches in which anything is.
    pub fn choice(&self) -> Vec<Configuration> {
        let of = |tuned: &Tuned| Some(tuned.search.trials[tuned.chosen()?].clone());
        self.tuned.iter().filter_map(of).collect()
    }

    /// What the trials are.
    pub fn job(&self) -> Job {
        self.tuned.first().map_or(Job::Train, |t| t.search.base.job)
    }
}
