//! What is tried for an optimizer, and what comes of it.
//!
//! Trials are points of a Kronecker sequence in the space of an optimizer's settings, shifted at random: α_j = φ^{-j} with
//! φ^{d+1} = φ + 1 (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"; one setting alone: the golden ratio).
//! Any first n of them lie evenly in the space, so that a budget may cut them, and one may be added.

use super::configuration::Configuration;
use super::job::Job;
use super::setting::{Setting, Values};
use super::tuning::{Tuning, TuningError};
use crate::score::Score;
use sph_tensor::Rng;
use std::collections::BTreeSet;

/// Points of the sequence in a row that were tried already, after which there are taken to be no others; more where trials are many.
const ENOUGH: u64 = 1000;

/// What is tried for an optimizer on a data set, a model and values of the common grids.
#[derive(Debug, Clone)]
pub struct Search {
    /// What all its trials have.
    pub base: Configuration,
    /// The settings that are tried; none: its settings are given, and its one trial measures them.
    pub space: Vec<Setting>,
    /// The trials, in the order in which they are carried out.
    pub trials: Vec<Configuration>,
}

impl Search {
    /// The search from `base` in `space`.
    ///
    /// # Errors
    /// When the space has fewer points than there are trials.
    pub fn new(base: Configuration, space: Vec<Setting>, tuning: &Tuning) -> Result<Self, TuningError> {
        let fixed = |s: &&Setting| s.name == "val-split" || (s.name == "epochs" && tuning.epochs.is_some());
        if let Some(s) = space.iter().find(fixed) {
            return Err(TuningError::Fixed { setting: s.name.clone(), optimizer: base.name.clone() });
        }
        let wanted = if space.is_empty() { 1 } else { tuning.trials };
        let mut trials: Vec<Configuration> = Vec::new();
        let mut labels = BTreeSet::new();
        let (mut index, mut last) = (0, 0);
        // Lists that are just long enough are met whole long before this.
        while trials.len() < wanted && index - last <= ENOUGH.max(20 * wanted as u64) {
            let trial = base.with(&point(&space, tuning.seed, index));
            if labels.insert(trial.label.clone()) {
                last = index;
                trials.push(trial);
            }
            index += 1;
        }
        if trials.len() < wanted {
            let (optimizer, points) = (base.name.clone(), trials.len());
            return Err(TuningError::TooFewPoints { optimizer, points, wanted });
        }
        Ok(Search { base, space, trials })
    }

    /// What its trials are trained with.
    pub fn settings(trial: &Configuration, tuning: &Tuning) -> Configuration {
        let mut trial = trial.clone();
        // Of two values the last one counts.
        trial.settings.push(("val-split".into(), tuning.val_split.to_string()));
        match trial.job {
            Job::Train => trial.settings.extend(tuning.epochs.map(|n| ("epochs".into(), n.to_string()))),
            Job::Adapt => trial.settings.push(("eval-on".into(), "validation".into())),
        }
        trial
    }
}

/// Values at a point of the sequence.
fn point(space: &[Setting], seed: u64, index: u64) -> Vec<(String, String)> {
    let phi = golden(space.len());
    let value = |(j, setting): (usize, &Setting)| {
        let shift = Rng::new(seed, "trials", j as u64, 0).uniform();
        let alpha = libm::pow(phi, -(j as f64 + 1.0));
        let u = (shift + index as f64 * alpha).fract();
        let text = match &setting.values {
            Values::List(values) => values[(u * values.len() as f64) as usize].clone(),
            Values::Range(range) => range.at(u),
        };
        (setting.name.clone(), text)
    };
    space.iter().enumerate().map(value).collect()
}

/// The root above 1 of φ^{d+1} = φ + 1.
fn golden(d: usize) -> f64 {
    let mut phi = 2.0;
    for _ in 0..64 {
        phi = libm::pow(1.0 + phi, 1.0 / (d as f64 + 1.0));
    }
    phi
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialResult {
    /// It was trained to its end.
    Finished {
        /// On the held-out images after the last epoch.
        held_out: Score,
        /// CPU time, where the system tells.
        cpu_seconds: Option<f64>,
    },
    /// Its loss became infinite or NaN: it loses to all that are finished.
    Diverged,
    /// It is not over.
    Waiting,
}

/// A search as far as it is carried out.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// What is tried.
    pub search: Search,
    /// How the trials ended that are carried out: the first ones of the search.
    pub results: Vec<TrialResult>,
}

impl Tuned {
    /// The trial with the highest accuracy on held-out images; of equal ones the one with the lower loss, then the first. Of adaptations,
    /// and where there is no accuracy, that with the lowest loss, which is what adaptations are timed to. `None` before all are over, and
    /// when all diverged.
    pub fn chosen(&self) -> Option<usize> {
        let mut best: Option<(usize, Score)> = None;
        for (i, result) in self.results.iter().enumerate() {
            match *result {
                TrialResult::Waiting => return None,
                TrialResult::Diverged => (),
                TrialResult::Finished { held_out, .. } => {
                    let by_accuracy = self.search.base.job == Job::Train;
                    let better = |(_, best): (usize, Score)| match (held_out.accuracy, best.accuracy) {
                        (Some(a), Some(b)) if by_accuracy && a != b => a > b,
                        _ => held_out.loss < best.loss,
                    };
                    if best.is_none_or(better) {
                        best = Some((i, held_out));
                    }
                }
            }
        }
        best.map(|b| b.0)
    }

    /// The tried values of a setting of the space, those of numbers in their order.
    pub fn tried(&self, setting: &Setting) -> Vec<&str> {
        let of = |c: &'_ Configuration| c.grid.iter().position(|g| g.0 == setting.name);
        let trials = &self.search.trials[..self.results.len()];
        let mut all: Vec<&str> = Vec::new();
        for value in trials.iter().filter_map(|c| Some(&*c.grid[of(c)?].1)) {
            if !all.contains(&value) {
                all.push(value);
            }
        }
        if all.iter().all(|v| number(v).is_some()) {
            all.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
        }
        all
    }

    /// Settings of numbers whose chosen value is the smallest or the largest one tried: there may be a better one beyond.
    pub fn at_edge(&self) -> Vec<(&str, &'static str)> {
        let Some(chosen) = self.chosen() else { return Vec::new() };
        let grid = &self.search.trials[chosen].grid;
        let edge = |s: &'_ Setting| {
            let value = &*grid.iter().find(|g| g.0 == s.name)?.1;
            let tried = self.tried(s);
            let numbers = tried.len() > 1 && tried.iter().all(|v| number(v).is_some());
            match () {
                () if !numbers => None,
                () if tried.first() == Some(&value) => Some("smallest"),
                () if tried.last() == Some(&value) => Some("largest"),
                () => None,
            }
        };
        self.search.space.iter().filter_map(|s| Some((&*s.name, edge(s)?))).collect()
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::setting::Range;
    use super::*;

    fn list(name: &str, values: &[&str]) -> Setting {
        Setting { name: name.into(), values: Values::List(values.iter().map(|v| v.to_string()).collect()) }
    }

    fn log(name: &str, from: f64, to: f64) -> Setting {
        Setting { name: name.into(), values: Values::Range(Range::new(true, from, to).unwrap()) }
    }

    fn search(space: Vec<Setting>, trials: usize) -> Result<Search, TuningError> {
        let base = Configuration {
            dataset: "digits".into(),
            model: "mlp".into(),
            optimizer: 0,
            name: "sgd".into(),
            label: "sgd".into(),
            ..Configuration::default()
        };
        let tuning = Tuning { trials, seed: 3, epochs: None, val_split: 0.2, budget_cpu_hours: None };
        Search::new(base, space, &tuning)
    }

    fn values(s: &Search, name: &str) -> Vec<f64> {
        let of = |c: &Configuration| c.grid.iter().find(|g| g.0 == name).unwrap().1.parse().unwrap();
        s.trials.iter().map(of).collect()
    }

    #[test]
    fn trials_lie_evenly_and_more_of_them_keep_the_first() {
        let space = vec![log("lr", 1e-3, 1.0), list("probe", &["ones", "exact"])];
        let s = search(space.clone(), 32).unwrap();
        let labels = |s: &Search| s.trials.iter().map(|t| t.label.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&search(space, 8).unwrap()), labels(&s)[..8]);
        // Each decade has its share, with each value of the list.
        for decade in [1e-3, 1e-2, 1e-1] {
            for probe in ["ones", "exact"] {
                let inside = |t: &&Configuration| {
                    let lr: f64 = t.grid[0].1.parse().unwrap();
                    (decade..decade * 10.0).contains(&lr) && t.grid[1].1 == probe
                };
                let n = s.trials.iter().filter(inside).count();
                assert!((3..=8).contains(&n), "{n} trials from {decade} with {probe}");
            }
        }
        // One setting: no gap is much larger than the others (three distances of the golden ratio).
        let mut all = values(&search(vec![log("lr", 1e-3, 1.0)], 8).unwrap(), "lr");
        all.sort_by(f64::total_cmp);
        let widest = all.windows(2).map(|w| (w[1] / w[0]).log10()).fold(0.0, f64::max);
        assert!(widest < 0.5, "{all:?}");
    }

    #[test]
    fn a_list_is_tried_whole_and_must_be_long_enough() {
        let s = search(vec![list("lr", &["0.1", "0.2"]), list("tau", &["1", "2", "3"])], 6).unwrap();
        let labels: BTreeSet<_> = s.trials.iter().map(|t| t.label.clone()).collect();
        assert_eq!(labels.len(), 6);
        let e = search(vec![list("lr", &["0.1", "0.2", "0.3", "0.3"])], 4).unwrap_err().to_string();
        assert!(e.contains("'sgd' has 3 combinations") && e.contains("4 trials"), "{e}");
        assert!(search(vec![log("lr", 0.1, 0.1001)], 4).is_err());
        assert_eq!(search(vec![], 4).unwrap().trials.len(), 1);
        assert!(Range::new(true, 0.0, 1.0).is_err() && Range::new(false, 1.0, 1.0).is_err());
    }

    #[test]
    fn the_best_on_held_out_images_is_chosen_and_edges_are_named() {
        let search = search(vec![list("lr", &["0.1", "0.2", "0.01"]), list("probe", &["ones"])], 3).unwrap();
        let lrs = values(&search, "lr");
        let tuned = |f: &dyn Fn(f64) -> TrialResult| Tuned {
            results: lrs.iter().map(|&lr| f(lr)).collect(),
            search: search.clone(),
        };
        let of = |accuracy, loss| TrialResult::Finished {
            held_out: Score { loss, accuracy: Some(accuracy) },
            cpu_seconds: None,
        };
        let lr_of = |t: &Tuned| t.chosen().map(|i| lrs[i]);
        // Equal accuracies: the lower loss.
        let t = tuned(&|lr| of(0.9, if lr == 0.1 { 0.3 } else { 0.4 }));
        assert_eq!((lr_of(&t), t.at_edge()), (Some(0.1), vec![]));
        let t = tuned(&|lr| if lr == 0.2 { TrialResult::Diverged } else { of(lr, 1.0) });
        // A larger one was tried.
        assert_eq!((lr_of(&t), t.at_edge()), (Some(0.1), vec![]));
        let t = tuned(&|lr| of(1.0 - lr, 1.0));
        assert_eq!((lr_of(&t), t.at_edge()), (Some(0.01), vec![("lr", "smallest")]));
        let t = tuned(&|lr| of(lr, 1.0));
        assert_eq!((lr_of(&t), t.at_edge()), (Some(0.2), vec![("lr", "largest")]));
        assert_eq!(tuned(&|_| TrialResult::Diverged).chosen(), None);
        assert_eq!(tuned(&|lr| if lr == 0.2 { TrialResult::Waiting } else { of(lr, 1.0) }).chosen(), None);
    }
}
