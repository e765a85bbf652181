//! What the runs of a comparison say together: means and standard deviations over seeds.

use super::configuration::Configuration;
use super::finished::FinishedRun;
use super::job::Job;
use super::quantities::{OF_ADAPTATIONS, OF_TRAININGS, OF_TRAININGS_BY_LOSS, Quantity};
use super::statistic::Statistic;
use super::trials::Trials;
use crate::history::Epoch;
use crate::score::{Measure, Score};

/// A comparison as far as it is finished.
#[derive(Debug, Clone)]
pub struct Results {
    /// Its configurations.
    pub configurations: Vec<Configuration>,
    /// The finished runs.
    pub runs: Vec<FinishedRun>,
    /// A group per data set, model and condition, in which configurations are compared.
    pub groups: Vec<Group>,
    /// Runs that every configuration has when all are finished.
    pub seeds: usize,
    /// How settings were chosen, where a tuning rule chose them.
    pub trials: Option<Trials>,
}

/// Configurations on one data set and model, for one combination of the common values that are conditions.
#[derive(Debug, Clone)]
pub struct Group {
    /// The data set.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// The common values that its optimizers are compared for.
    pub condition: Vec<(String, String)>,
    /// Its configurations.
    pub configurations: Vec<usize>,
    /// The baseline: of its optimizer's configurations the one with the best mean on the test images at the end, and that mean, of what
    /// [`Results::measure`] says. `None` before one of its runs is finished.
    pub baseline: Option<(usize, f64)>,
}

impl Group {
    /// Whether a configuration belongs to it.
    pub fn has(&self, c: &Configuration) -> bool {
        (&self.dataset, &self.model, &self.condition) == (&c.dataset, &c.model, &c.condition)
    }
}

impl Results {
    /// Groups finished runs; `baseline` is an optimizer of the plan.
    pub fn new(
        configurations: Vec<Configuration>,
        runs: Vec<FinishedRun>,
        baseline: usize,
        seeds: usize,
        trials: Option<Trials>,
    ) -> Self {
        let mut results = Results { configurations, runs, groups: Vec::new(), seeds, trials };
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
            let measure = results.measure();
            let mean = |c: &usize| Some((*c, results.final_figure(*c)?.mean));
            let all = group.configurations.iter().filter(of_baseline).filter_map(mean);
            // The first of equal ones.
            let best = all.reduce(|best, c| if measure.better(c.1, best.1) { c } else { best });
            let members = group.configurations.clone();
            results.groups[g].baseline = best;
            let Some((baseline, target)) = best else { continue };
            let losses: Vec<(u64, f64)> =
                results.runs_of(baseline).filter_map(|r| Some((r.seed, r.end.last?.loss))).collect();
            let job = results.job();
            for run in results.runs.iter_mut().filter(|r| members.contains(&r.configuration)) {
                run.to_target = match job {
                    // The mean of equal values may differ from each of them by rounding.
                    Job::Train => {
                        let reached = |e: &Epoch| match measure {
                            Measure::Accuracy => e.test.value() >= target - 1e-12,
                            Measure::Loss => e.test.value() <= target + 1e-12 * target.abs(),
                        };
                        run.epochs.iter().position(reached)
                    }
                    // Against the same seed: it says which images are labelled.
                    Job::Adapt => losses
                        .iter()
                        .find(|l| l.0 == run.seed)
                        .and_then(|(_, loss)| run.epochs.iter().position(|e| e.test.loss <= *loss)),
                };
            }
        }
        results
    }

    /// What its runs are.
    pub fn job(&self) -> Job {
        let of_trials = || self.trials.as_ref().map_or(Job::Train, Trials::job);
        self.configurations.first().map_or_else(of_trials, |c| c.job)
    }

    /// What its runs are compared by: the accuracy, where all that are finished have one.
    pub fn measure(&self) -> Measure {
        let last = self.runs.iter().filter_map(|run| run.end.last);
        last.map(|score| score.measure()).find(|m| *m == Measure::Loss).unwrap_or(Measure::Accuracy)
    }

    /// What is averaged over its runs.
    pub fn quantities(&self) -> &'static [Quantity] {
        match (self.job(), self.measure()) {
            (Job::Train, Measure::Accuracy) => OF_TRAININGS,
            (Job::Train, Measure::Loss) => OF_TRAININGS_BY_LOSS,
            (Job::Adapt, _) => OF_ADAPTATIONS,
        }
    }

    /// How good a configuration is on the test images at the end, by what runs are compared by.
    pub fn final_figure(&self, configuration: usize) -> Option<Statistic> {
        let of = |run: &FinishedRun| self.compared(run.end.last?);
        Statistic::of(self.runs_of(configuration).filter_map(of))
    }

    /// What runs are compared by, of a score.
    fn compared(&self, score: Score) -> Option<f64> {
        match self.measure() {
            Measure::Accuracy => score.accuracy,
            Measure::Loss => Some(score.loss),
        }
    }

    /// The finished runs of a configuration.
    pub fn runs_of(&self, configuration: usize) -> impl Iterator<Item = &FinishedRun> + Clone {
        self.runs.iter().filter(move |r| r.configuration == configuration)
    }

    /// The quantity called `name` over the finished runs of a configuration.
    pub fn statistic(&self, configuration: usize, name: &str) -> Option<Statistic> {
        let quantity = self.quantities().iter().find(|q| q.name == name)?;
        Statistic::of(self.runs_of(configuration).filter_map(quantity.of))
    }

    /// Final test accuracy (or loss, see [`Results::measure`]) of a configuration minus that of its group's baseline, over the seeds that both
    /// have; `None` for the baseline itself.
    pub fn difference(&self, configuration: usize) -> Option<Statistic> {
        let group = self.groups.iter().find(|g| g.configurations.contains(&configuration))?;
        let baseline = group.baseline.map(|b| b.0).filter(|b| *b != configuration)?;
        let figure = |run: &FinishedRun| self.compared(run.end.last?);
        let pair = |run: &FinishedRun| {
            let other = self.runs_of(baseline).find(|r| r.seed == run.seed)?;
            Some(figure(run)? - figure(other)?)
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
fn the_baseline_is_its_best_configuration_and_the_target_is_reached_once() {
    use super::finished::Ending;
    let configuration = |optimizer: usize| Configuration {
        dataset: "digits".into(),
        model: "mlp".into(),
        optimizer,
        ..Configuration::default()
    };
    let run = |name: &str, configuration: usize, seed: u64, accuracies: &[f64]| {
        let epochs = accuracies.iter().enumerate().map(|(i, a)| Epoch {
            epoch: i + 1,
            lr: 0.1,
            train: (1.0, 0.5).into(),
            validation: None,
            test: (1.0, *a).into(),
            average: None,
            step_ms: 1.0,
            seconds: 10.0 * (i + 1) as f64,
        });
        let epochs: Vec<Epoch> = epochs.collect();
        let end = Ending { last: epochs.last().map(|e| e.test), ..Ending::default() };
        FinishedRun { name: name.into(), configuration, seed, epochs, end, to_target: None }
    };
    let runs = [
        run("a", 0, 1, &[0.2, 0.3, 0.4]),
        run("b", 1, 1, &[0.3, 0.6, 0.5]),
        run("c", 2, 1, &[0.4, 0.5, 0.8]),
        run("d", 2, 2, &[0.1, 0.2, 0.3]),
    ];
    let results = Results::new([0, 0, 1].map(configuration).to_vec(), runs.to_vec(), 0, 2, None);
    assert_eq!(results.groups[0].baseline, Some((1, 0.5)));
    let seconds: Vec<Option<f64>> = results.runs.iter().map(|r| Some(r.target_row()?.seconds)).collect();
    assert_eq!(seconds, [None, Some(20.0), Some(20.0), None]);
    let reached = results.statistic(2, "seconds_to_target").unwrap();
    assert_eq!((reached.mean, reached.count), (20.0, 1));
    // Against the same seed of the baseline: it has no run with d's.
    let difference = results.difference(2).unwrap();
    assert!((difference.mean - 0.3).abs() < 1e-12 && difference.count == 1);
    assert_eq!(results.difference(1), None);
}

#[test]
fn an_adaptation_is_timed_to_the_loss_of_the_same_seed() {
    use crate::adaptation::AdaptationRecord;
    let configuration =
        |optimizer: usize| Configuration { job: Job::Adapt, optimizer, ..Configuration::default() };
    let run = |configuration: usize, seed: u64, losses: &[f64]| {
        let measured = |(i, loss): (usize, &f64)| serde_json::json!({"steps": 2 * i, "seconds": i as f64, "loss": loss, "accuracy": 0.5});
        let steps = 2 * (losses.len() - 1);
        let record = serde_json::json!({
            "settings": {"lr": 0.1}, "before": {"steps": 0, "seconds": 0.0, "loss": 9.0, "accuracy": 0.1},
            "evaluations": losses.iter().enumerate().map(measured).collect::<Vec<_>>(),
            "train_loss": (0..steps).map(|i| i as f64).collect::<Vec<_>>(), "step_seconds": vec![0.5; steps],
        });
        let adapted: AdaptationRecord = serde_json::from_value(record).unwrap();
        FinishedRun::of_adaptation(format!("{configuration} {seed}"), configuration, seed, &adapted)
    };
    let runs = vec![
        run(0, 1, &[3.0, 2.0, 1.0]),
        run(0, 2, &[3.0, 1.5, 2.0]),
        run(1, 1, &[3.0, 1.5, 0.9]),
        run(1, 2, &[3.0, 2.1, 2.05]),
    ];
    let results = Results::new([0, 1].map(configuration).to_vec(), runs, 0, 2, None);
    let steps = |c| results.runs_of(c).map(|r| Some(r.target_row()?.epoch)).collect::<Vec<_>>();
    // The baseline may pass where it ends before it ends there.
    assert_eq!((steps(0), steps(1)), (vec![Some(4), Some(2)], vec![Some(4), None]));
    let rows = &results.runs[0].epochs;
    assert_eq!(rows.iter().map(|e| e.train.loss).collect::<Vec<_>>(), [0.0, 0.5, 2.5]);
    assert_eq!((rows[2].step_ms, rows[2].seconds, rows[2].lr), (500.0, 2.0, 0.1));
}
