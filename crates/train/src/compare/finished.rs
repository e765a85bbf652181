//! A finished run of a comparison, as what it left tells it.

use crate::adaptation::AdaptationRecord;
use crate::history::{Epoch, History};
use crate::score::Score;

/// A finished run.
#[derive(Debug, Clone)]
pub struct FinishedRun {
    /// The name of its folder or file.
    pub name: String,
    /// Which configuration.
    pub configuration: usize,
    /// Its seed.
    pub seed: u64,
    /// What is known after each epoch; of an adaptation after each evaluation.
    pub epochs: Vec<Epoch>,
    /// How it ended.
    pub end: Ending,
    /// The first of `epochs` that is as good as the target or better; `None` when none is.
    pub to_target: Option<usize>,
}

/// How a run ended. What its kind does not know is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ending {
    /// Best epoch, counted from 1, chosen on held-out or test images, and how good it is on the test images.
    pub best: Option<(usize, Score)>,
    /// On the test images at the end.
    pub last: Option<Score>,
    /// Accuracy of the average of weights on the test images at the end; its loss where there is no accuracy.
    pub average: Option<f64>,
    /// An adapted network as it was.
    pub before: Option<Score>,
    /// Seconds in all; of an adaptation without evaluations.
    pub seconds: f64,
    /// Time of a gradient with curvature over one without, minus 1.
    pub curvature_overhead: Option<f64>,
    /// Largest resident memory in 10⁶ bytes.
    pub peak_rss_mb: Option<f64>,
}

impl FinishedRun {
    /// Of a training. Where settings were chosen by trials, the test images choose nothing: an epoch that was chosen on them is left
    /// out.
    pub fn of_training(name: String, configuration: usize, history: History, tuned: bool) -> Self {
        let mut end = Ending::default();
        if let Some(r) = &history.result {
            end = Ending {
                best: r.best_epoch.zip(r.best()).filter(|_| !(tuned && r.chosen_on == "test")),
                last: r.last(),
                average: r.last_average(),
                before: None,
                seconds: r.seconds,
                curvature_overhead: r.curvature_overhead,
                peak_rss_mb: r.peak_rss_mb,
            };
        }
        let (seed, epochs) = (history.settings.seed, history.epochs);
        FinishedRun { name, configuration, seed, epochs, end, to_target: None }
    }

    /// Of an adaptation.
    pub fn of_adaptation(name: String, configuration: usize, seed: u64, adapted: &AdaptationRecord) -> Self {
        let epochs = adapted.rows();
        let end = Ending {
            last: adapted.end().map(|e| (e.loss, e.accuracy).into()),
            before: Some((adapted.before.loss, adapted.before.accuracy).into()),
            seconds: epochs.last().map_or(0.0, |e| e.seconds),
            peak_rss_mb: adapted.peak_rss_mb,
            ..Ending::default()
        };
        FinishedRun { name, configuration, seed, epochs, end, to_target: None }
    }

    /// Test accuracy after so many epochs or steps.
    pub(super) fn accuracy_after(&self, number: usize) -> Option<f64> {
        self.epochs.iter().find(|e| e.epoch == number)?.test.accuracy
    }

    /// The first row that is as good as the target.
    pub(super) fn target_row(&self) -> Option<&Epoch> {
        self.epochs.get(self.to_target?)
    }
}
