//! The tuning rule of a comparison: every optimizer has the same number of trials, judged on held-out training images.

/// How settings are chosen before the runs of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Trials of every optimizer in every search.
    pub trials: usize,
    /// Seed of the points, and of the trials' training.
    pub seed: u64,
    /// Epochs of a trial; `None`: those of the runs. Adaptations have none.
    pub epochs: Option<usize>,
    /// Fraction of the training images held out, which trials are judged on.
    pub val_split: f64,
    /// CPU hours that trials and runs may take together, as estimated from the first trials.
    pub budget_cpu_hours: Option<f64>,
}

/// A tuning rule that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TuningError {
    /// A setting is tried that the rule sets.
    #[error("'{setting}' of '{optimizer}' cannot be tried: trials have that of the tuning rule")]
    Fixed {
        /// The setting.
        setting: String,
        /// The optimizer that it is tried for.
        optimizer: String,
    },
    /// What is tried has fewer points than there are trials.
    #[error(
        "'{optimizer}' has {points} combinations of its values (of three digits) and every optimizer {wanted} trials: give it more values or a \
         wider range, such as lr = {{log = [0.001, 1]}}, or lower the trials"
    )]
    TooFewPoints {
        /// The optimizer.
        optimizer: String,
        /// Points that there are.
        points: usize,
        /// Trials that are asked for.
        wanted: usize,
    },
    /// Not even the fewest trials fit into the budget.
    #[error(
        "budget-cpu-hours = {budget}: {} of each optimizer and the runs alone take an estimated {hours:.3} CPU hours; raise it, or lower seeds or \
         epochs",
        if *least == 1 { "one trial".to_string() } else { format!("{least} trials") }
    )]
    Budget {
        /// CPU hours that there are.
        budget: f64,
        /// The fewest trials.
        least: usize,
        /// CPU hours that they and the runs take.
        hours: f64,
    },
}
