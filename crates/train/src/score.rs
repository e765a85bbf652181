//! How good a network is on a set of samples, and which of two is better.

use serde::{Deserialize, Serialize};
use sph_data::AnswerKind;
use sph_nn::losses::Loss;

/// How good a network is on a set of samples. In records a pair of loss and accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, Option<f64>)", into = "(f64, Option<f64>)")]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Fraction of the answers that are right, from 0 to 1: of images, of tokens that count. `None` where answers are no classes.
    pub accuracy: Option<f64>,
}

impl From<(f64, Option<f64>)> for Score {
    fn from((loss, accuracy): (f64, Option<f64>)) -> Self {
        Score { loss, accuracy }
    }
}

impl From<(f64, f64)> for Score {
    fn from((loss, accuracy): (f64, f64)) -> Self {
        Score { loss, accuracy: Some(accuracy) }
    }
}

impl From<Score> for (f64, Option<f64>) {
    fn from(score: Score) -> Self {
        (score.loss, score.accuracy)
    }
}

impl Score {
    /// What it is compared by.
    pub fn measure(&self) -> Measure {
        if self.accuracy.is_some() { Measure::Accuracy } else { Measure::Loss }
    }

    /// The value that it is compared by.
    pub fn value(&self) -> f64 {
        self.accuracy.unwrap_or(self.loss)
    }
}

/// What networks are compared by: the best epoch, trials, optimizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The larger the better.
    Accuracy,
    /// The smaller the better.
    Loss,
}

impl Measure {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Accuracy => "accuracy",
            Measure::Loss => "loss",
        }
    }

    /// Whether `a` is better than `b`.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Measure::Accuracy => a > b,
            Measure::Loss => a < b,
        }
    }

    /// A value for people: an accuracy in percent, a loss with four decimals.
    pub fn shown(self, value: f64) -> String {
        match self {
            Measure::Accuracy => format!("{:.2} %", 100.0 * value),
            Measure::Loss => format!("{value:.4}"),
        }
    }
}

/// What a loss needs to be answered.
pub fn answers_of(loss: Loss) -> AnswerKind {
    match loss {
        Loss::CrossEntropy | Loss::Entropy => AnswerKind::Classes,
        Loss::Mse | Loss::Bce => AnswerKind::Values,
        Loss::Graph => AnswerKind::Nothing,
    }
}

#[test]
fn records_of_before_are_read_and_written_alike() {
    let pair = serde_json::to_string(&(0.5, 0.25)).unwrap();
    let score: Score = serde_json::from_str(&pair).unwrap();
    assert_eq!((score, serde_json::to_string(&score).unwrap()), ((0.5, 0.25).into(), pair));
    let loss: Score = serde_json::from_str("[0.5,null]").unwrap();
    assert_eq!((loss.measure(), loss.value(), loss.accuracy), (Measure::Loss, 0.5, None));
    assert!(Measure::Loss.better(0.1, 0.2) && Measure::Accuracy.better(0.2, 0.1));
    assert_eq!([Measure::Accuracy, Measure::Loss].map(|m| m.shown(0.25)), ["25.00 %", "0.2500"]);
}
