//! What the runs of a comparison say together: means and standard deviations over seeds.

use super::plan::Configuration;
use crate::history::History;

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

/// Configurations on one data set and model.
#[derive(Debug, Clone)]
pub struct Group {
    /// The data set.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// Its configurations.
    pub configurations: Vec<usize>,
    /// The baseline: of its optimizer's configurations the one with the best mean final test accuracy, and that accuracy. `None`
    /// before one of its runs is finished.
    pub baseline: Option<(usize, f64)>,
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
    /// Groups finished runs, given as name, configuration and history; `baseline` is an optimizer of the plan.
    pub fn new(
        configurations: Vec<Configuration>,
        runs: impl IntoIterator<Item = (String, usize, History)>,
        baseline: usize,
        seeds: usize,
        jobs: usize,
    ) -> Self {
        let runs = runs.into_iter().map(|(name, configuration, history)| FinishedRun {
            name,
            configuration,
            history,
            seconds_to_target: None,
        });
        let mut results = Results { configurations, runs: runs.collect(), groups: Vec::new(), seeds, jobs };
        for (i, c) in results.configurations.iter().enumerate() {
            match results.groups.iter_mut().find(|g| g.dataset == c.dataset && g.model == c.model) {
                Some(group) => group.configurations.push(i),
                None => results.groups.push(Group {
                    dataset: c.dataset.clone(),
                    model: c.model.clone(),
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
    assert_eq!(Statistic::of([2.0]).unwrap().std, None);
    assert_eq!(Statistic::of([]), None);
}

#[test]
fn the_baseline_is_its_best_configuration_and_the_target_is_reached_once() {
    let configuration = |optimizer: usize| Configuration {
        dataset: "digits".into(),
        model: "mlp".into(),
        optimizer,
        label: String::new(),
        grid: Vec::new(),
    };
    let run = |name: &str, configuration: usize, accuracies: &[f64]| {
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
            args: crate::config::TrainArgs::from_toml("", "none").unwrap(),
            epochs: epochs.collect(),
            curvature: Vec::new(),
            result: Some(serde_json::from_value(result).unwrap()),
        };
        (name.to_string(), configuration, history)
    };
    let runs = [
        run("a", 0, &[0.2, 0.3, 0.4]),
        run("b", 1, &[0.3, 0.6, 0.5]),
        run("c", 2, &[0.4, 0.5, 0.8]),
        run("d", 2, &[0.1, 0.2, 0.3]),
    ];
    let results = Results::new([0, 0, 1].map(configuration).to_vec(), runs, 0, 2, 1);
    assert_eq!(results.groups[0].baseline, Some((1, 0.5)));
    let seconds: Vec<Option<f64>> = results.runs.iter().map(|r| r.seconds_to_target).collect();
    assert_eq!(seconds, [None, Some(20.0), Some(20.0), None]);
    let reached = results.statistic(2, "seconds_to_target").unwrap();
    assert_eq!((reached.mean, reached.count), (20.0, 1));
}
