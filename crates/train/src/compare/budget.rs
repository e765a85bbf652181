//! How many trials a budget of CPU time leaves.

use super::search::Search;
use super::tuning::TuningError;

/// The budget's verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetFit {
    /// Trials of each optimizer that fit, at most those wanted.
    pub trials: usize,
    /// What these trials and all runs take, in CPU hours.
    pub hours: f64,
}

/// What a search costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// CPU seconds of its first trial that did not diverge; `None` where all did so far: it is taken to cost as much as the dearest.
    pub trial: Option<f64>,
    /// Times that a run of what it chooses takes longer than a trial.
    pub longer: f64,
}

/// How many trials of each search, `least` at least, fit into `budget` CPU hours beside `runs` runs of what it chooses.
///
/// # Errors
/// When not even so many fit.
pub fn fit_budget(
    budget: f64,
    searches: &[Search],
    costs: &[Cost],
    runs: usize,
    least: usize,
) -> Result<BudgetFit, TuningError> {
    let dearest = costs.iter().filter_map(|c| c.trial).fold(0.0, f64::max);
    let hours = |n: usize| {
        let of = |(s, cost): (&Search, &Cost)| {
            let trials = n.min(s.trials.len()) as f64;
            cost.trial.unwrap_or(dearest) * (trials + cost.longer * runs as f64) / 3600.0
        };
        searches.iter().zip(costs).map(of).sum::<f64>()
    };
    let wanted = searches.iter().map(|s| s.trials.len()).max().unwrap_or(1);
    let fits =
        (least..=wanted).rev().map(|n| BudgetFit { trials: n, hours: hours(n) }).find(|f| f.hours <= budget);
    fits.ok_or_else(|| TuningError::Budget { budget, least, hours: hours(least) })
}

#[test]
fn a_budget_cuts_trials_equally() {
    use super::configuration::Configuration;
    let of_trials = |n| Search {
        trials: vec![Configuration::default(); n],
        base: Configuration::default(),
        space: Vec::new(),
    };
    let searches = [8, 8, 1].map(of_trials);
    let costs = [Some(36.0), None, Some(72.0)].map(|trial| Cost { trial, longer: 2.0 });
    // Hours of n trials: n·(0.01 + 0.02) + 0.02; of the runs: 3·2·(0.01 + 0.02 + 0.02).
    let fit = |budget| fit_budget(budget, &searches, &costs, 3, 1);
    assert_eq!(fit(1.0).unwrap().trials, 8);
    let f = fit(0.45).unwrap();
    assert!(f.trials == 4 && (f.hours - 0.44).abs() < 1e-12, "{f:?}");
    let e = fit(0.3).unwrap_err().to_string();
    assert!(e.contains("budget-cpu-hours = 0.3") && e.contains("0.350"), "{e}");
}
