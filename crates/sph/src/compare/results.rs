//! What the runs of a comparison say together: means and standard deviations over seeds.

use super::plan::Configuration;
use super::tuning::{Fit, Tuned, Tuning};
use crate::history::{History, RunResult};
use distrs::StudentsT;

/// A comparison as far as it is finished.
#[derive(Debug, Clone)]
pub struct Results {
    /// Its configurations.
    pub configurations: Vec<Configuration>,
    /// The finished runs.
    pub runs: Vec<FinishedRun>,
    /// A group per data set and model, in which configurations are compared.
    pub groups: Vec<Group>,
    /// Runs that every configuration has when all are finished.
    pub seeds: usize,
    /// Runs at a time while they were measured: more than one share the machine.
    pub jobs: usize,
    /// How settings were chosen, where a tuning rule chose them.
    pub trials: Option<Trials>,
}

/// The trials that settings were chosen by.
#[derive(Debug, Clone)]
pub struct Trials {
    /// The rule.
    pub tuning: Tuning,
    /// What the budget left, where there is one and it is decided.
    pub fit: Option<Fit>,
    /// The searches, as far as they are carried out.
    pub tuned: Vec<Tuned>,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct FinishedRun {
    /// Its folder's name.
    pub name: String,
    /// Which configuration.
    pub configuration: usize,
    /// What it left.
    pub history: History,
    /// Seconds until its test accuracy was the group's target or better; `None` when it never was.
    pub seconds_to_target: Option<f64>,
}

/// Configurations on one data set and model; where optimizers were tuned, for one combination of the common values.
#[derive(Debug, Clone)]
pub struct Group {
    /// The data set.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// The common values that its optimizers were tuned for.
    pub condition: Vec<(String, String)>,
    /// Its configurations.
    pub configurations: Vec<usize>,
    /// The baseline: of its optimizer's configurations the one with the best mean final test accuracy, and that accuracy. `None`
    /// before one of its runs is finished.
    pub baseline: Option<(usize, f64)>,
}

impl Group {
    /// Whether a configuration belongs to it.
    pub fn has(&self, c: &Configuration) -> bool {
        (&self.dataset, &self.model, &self.condition) == (&c.dataset, &c.model, &c.condition)
    }
}

/// A figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistic {
    /// Mean of those that have it.
    pub mean: f64,
    /// Standard deviation (of a sample, n − 1); `None` for one value.
    pub std: Option<f64>,
    /// How many have it.
    pub count: usize,
}

impl Statistic {
    /// Of values; `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!values.is_empty()).then_some(Statistic { mean, std, count: values.len() })
    }

    /// Half the width of the mean's 95 % interval by Student's t; `None` for one value.
    pub fn half_width(&self) -> Option<f64> {
        let n = self.count as f64;
        Some(StudentsT::ppf(0.975, n - 1.0) * self.std? / n.sqrt())
    }
}

/// What is averaged over the runs of a configuration.
pub struct Quantity {
    /// Its column in CSV files.
    pub name: &'static str,
    /// Its column in tables, where values are multiplied by `scale` and have `digits` decimals.
    pub head: &'static str,
    /// 100 for percent.
    pub scale: f64,
    /// Decimals in tables.
    pub digits: usize,
    /// Its value in a run.
    pub of: fn(&FinishedRun) -> Option<f64>,
}

/// All quantities.
pub const QUANTITIES: &[Quantity] = &[
    Quantity {
        name: "best_test_accuracy",
        head: "best test acc %",
        scale: 100.0,
        digits: 2,
        of: |r| r.history.result.as_ref()?.test_accuracy,
    },
    Quantity {
        name: "final_test_accuracy",
        head: "final test acc %",
        scale: 100.0,
        digits: 2,
        of: |r| r.history.result.as_ref()?.final_test_accuracy,
    },
    Quantity {
        name: "seconds_to_target",
        head: "s to target",
        scale: 1.0,
        digits: 1,
        of: |r| r.seconds_to_target,
    },
    Quantity {
        name: "seconds",
        head: "s in all",
        scale: 1.0,
        digits: 1,
        of: |r| Some(r.history.result.as_ref()?.seconds),
    },
    Quantity {
        name: "step_ms",
        head: "ms/step",
        scale: 1.0,
        digits: 2,
        of: |r| Some(r.history.epochs.last()?.step_ms),
    },
    Quantity {
        name: "curvature_overhead",
        head: "curvature overhead %",
        scale: 100.0,
        digits: 0,
        of: |r| r.history.result.as_ref()?.curvature_overhead,
    },
    Quantity {
        name: "peak_rss_mb",
        head: "peak MB",
        scale: 1.0,
        digits: 0,
        of: |r| r.history.result.as_ref()?.peak_rss_mb,
    },
];

impl Results {
    /// Groups finished runs, given as name, configuration and history; `baseline` is an optimizer of the plan. Where `trials` chose the
    /// settings, the test images choose nothing: epochs that were chosen on them are left out.
    pub fn new(
        configurations: Vec<Configuration>,
        runs: impl IntoIterator<Item = (String, usize, History)>,
        baseline: usize,
        seeds: usize,
        jobs: usize,
        trials: Option<Trials>,
    ) -> Self {
        let runs = runs.into_iter().map(|(name, configuration, mut history)| {
            let on_test = |r: &&mut RunResult| trials.is_some() && r.chosen_on == "test";
            if let Some(result) = history.result.as_mut().filter(on_test) {
                (result.best_epoch, result.test_accuracy, result.test_loss) = (None, None, None);
            }
            FinishedRun { name, configuration, history, seconds_to_target: None }
        });
        let runs = runs.collect();
        let mut results = Results { configurations, runs, groups: Vec::new(), seeds, jobs, trials };
        for (i, c) in results.configurations.iter().enumerate() {
            match results.groups.iter_mut().find(|g| g.has(c)) {
                Some(group) => group.configurations.push(i),
                None => results.groups.push(Group {
                    dataset: c.dataset.clone(),
                    model: c.model.clone(),
                    condition: c.condition.clone(),
                    configurations: vec![i],
                    baseline: None,
                }),
            }
        }
        for g in 0..results.groups.len() {
            let group = &results.groups[g];
            let of_baseline = |c: &&usize| results.configurations[**c].optimizer == baseline;
            let accuracy = |c: &usize| Some((*c, results.statistic(*c, "final_test_accuracy")?.mean));
            let all = group.configurations.iter().filter(of_baseline).filter_map(accuracy);
            // The first of equal ones.
            let best = all.reduce(|best, c| if c.1 > best.1 { c } else { best });
            let members = group.configurations.clone();
            results.groups[g].baseline = best;
            let Some((_, target)) = best else { continue };
            for run in results.runs.iter_mut().filter(|r| members.contains(&r.configuration)) {
                // The mean of equal accuracies may differ from each of them by rounding.
                let reached = run.history.epochs.iter().find(|e| e.test.1 >= target - 1e-12);
                run.seconds_to_target = reached.map(|e| e.seconds);
            }
        }
        results
    }

    /// The finished runs of a configuration.
    pub fn runs_of(&self, configuration: usize) -> impl Iterator<Item = &FinishedRun> + Clone {
        self.runs.iter().filter(move |r| r.configuration == configuration)
    }

    /// The quantity called `name` over the finished runs of a configuration.
    pub fn statistic(&self, configuration: usize, name: &str) -> Option<Statistic> {
        let quantity = QUANTITIES.iter().find(|q| q.name == name)?;
        Statistic::of(self.runs_of(configuration).filter_map(quantity.of))
    }

    /// Final test accuracy of a configuration minus that of its group's baseline, over the seeds that both have; `None` for the
    /// baseline itself.
    pub fn difference(&self, configuration: usize) -> Option<Statistic> {
        let group = self.groups.iter().find(|g| g.configurations.contains(&configuration))?;
        let baseline = group.baseline.map(|b| b.0).filter(|b| *b != configuration)?;
        let accuracy = |run: &FinishedRun| run.history.result.as_ref()?.final_test_accuracy;
        let pair = |run: &FinishedRun| {
            let seed = run.history.args.seed;
            let other = self.runs_of(baseline).find(|r| r.history.args.seed == seed)?;
            Some(accuracy(run)? - accuracy(other)?)
        };
        Statistic::of(self.runs_of(configuration).filter_map(pair))
    }

    /// Names of the settings that have several values.
    pub fn grid(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.configurations.iter().flat_map(|c| &c.grid).map(|(name, _)| &**name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[test]
fn statistics_are_of_a_sample() {
    let s = Statistic::of([1.0, 2.0, 6.0]).unwrap();
    assert!((s.mean - 3.0).abs() < 1e-15 && (s.std.unwrap() - 7f64.sqrt()).abs() < 1e-15 && s.count == 3);
    // 0.975 quantiles of Student's t with 2 and 4 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2: 4.303 and 2.776).
    assert!((s.half_width().unwrap() - 4.302653 * (7f64 / 3.0).sqrt()).abs() < 1e-5);
    let five = Statistic::of([1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert!((five.half_width().unwrap() - 2.776445 * 0.5f64.sqrt()).abs() < 1e-5);
    let one = Statistic::of([2.0]).unwrap();
    assert_eq!((one.std, one.half_width()), (None, None));
    assert_eq!(Statistic::of([]), None);
}

#[test]
fn the_baseline_is_its_best_configuration_and_the_target_is_reached_once() {
    let configuration = |optimizer: usize| Configuration {
        dataset: "digits".into(),
        model: "mlp".into(),
        optimizer,
        ..Configuration::default()
    };
    let run = |name: &str, configuration: usize, seed: u64, accuracies: &[f64]| {
        let epochs = accuracies.iter().enumerate().map(|(i, a)| crate::history::Epoch {
            epoch: i + 1,
            lr: 0.1,
            train: (1.0, 0.5),
            validation: None,
            test: (1.0, *a),
            step_ms: 1.0,
            seconds: 10.0 * (i + 1) as f64,
        });
        let result = serde_json::json!({
            "chosen_on": "test", "epochs": accuracies.len(), "stopped_early": false, "seconds": 40.0,
            "final_test_accuracy": accuracies.last(),
        });
        let history = History {
            run: crate::run::RunDir::at(std::path::Path::new(name)),
            args: crate::config::TrainArgs::from_settings(std::iter::empty(), seed).unwrap(),
            epochs: epochs.collect(),
            curvature: Vec::new(),
            result: Some(serde_json::from_value(result).unwrap()),
        };
        (name.to_string(), configuration, history)
    };
    let runs = [
        run("a", 0, 1, &[0.2, 0.3, 0.4]),
        run("b", 1, 1, &[0.3, 0.6, 0.5]),
        run("c", 2, 1, &[0.4, 0.5, 0.8]),
        run("d", 2, 2, &[0.1, 0.2, 0.3]),
    ];
    let results = Results::new([0, 0, 1].map(configuration).to_vec(), runs, 0, 2, 1, None);
    assert_eq!(results.groups[0].baseline, Some((1, 0.5)));
    let seconds: Vec<Option<f64>> = results.runs.iter().map(|r| r.seconds_to_target).collect();
    assert_eq!(seconds, [None, Some(20.0), Some(20.0), None]);
    let reached = results.statistic(2, "seconds_to_target").unwrap();
    assert_eq!((reached.mean, reached.count), (20.0, 1));
    // Against the same seed of the baseline: it has no run with d's.
    let difference = results.difference(2).unwrap();
    assert!((difference.mean - 0.3).abs() < 1e-12 && difference.count == 1);
    assert_eq!(results.difference(1), None);
}
