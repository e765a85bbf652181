//! Charts of runs over each other: what is drawn, and over what.

use crate::charts::{self, Axes, Curve};
use crate::error::Result;
use crate::page::figure;
use sph_train::Score;
use sph_train::history::Epoch;

/// A figure of an epoch, and what an axis and a caption call it.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) axis: &'static str,
    pub(crate) caption: &'static str,
    /// `None` where the epoch has none.
    pub(crate) of: fn(&Epoch) -> Option<f64>,
}

fn percent(score: Score) -> Option<f64> {
    Some(100.0 * score.accuracy?)
}

impl Shown {
    /// Whether there is anything to draw of these epochs: no accuracies, say, of networks that tell no classes.
    pub(crate) fn is_in<'e>(&self, mut epochs: impl Iterator<Item = &'e Epoch> + Clone) -> bool {
        epochs.clone().next().is_none() || epochs.any(|e| (self.of)(e).is_some())
    }
}

/// The charts of runs over each other: losses on a logarithmic scale.
pub(crate) const OVERLAID: [(Shown, bool); 4] = [
    (Shown { axis: "test accuracy %", caption: "Test accuracy", of: |e| percent(e.test) }, false),
    (Shown { axis: "test loss", caption: "Test loss", of: |e| Some(e.test.loss) }, true),
    (Shown { axis: "training accuracy %", caption: "Training accuracy", of: |e| percent(e.train) }, false),
    (Shown { axis: "training loss", caption: "Training loss", of: |e| Some(e.train.loss) }, true),
];

/// What they are drawn over.
pub(crate) const TIMES: [Shown; 2] = [
    Shown { axis: "epoch", caption: "epochs", of: |e| Some(e.epoch as f64) },
    Shown { axis: "seconds", caption: "wall-clock time", of: |e| Some(e.seconds) },
];

/// What is drawn of adaptations.
pub(crate) const OF_ADAPTATIONS: [(Shown, bool); 3] = [OVERLAID[0], OVERLAID[1], OVERLAID[3]];

/// What adaptations are drawn over, beside wall-clock time.
pub(crate) const STEPS: Shown = Shown { axis: "step", caption: "steps", of: |e| Some(e.epoch as f64) };

/// One chart of several curves.
pub(crate) fn over(shown: &Shown, time: &Shown, log: bool, curves: &[Curve]) -> Result<String> {
    let chart = charts::curves(Axes { x: time.axis, y: shown.axis, log }, curves)?;
    Ok(figure(&chart, &format!("{} over {}.", shown.caption, time.caption)))
}
