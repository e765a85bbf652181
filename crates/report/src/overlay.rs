//! Charts of runs over each other: what is drawn, and over what.

use crate::charts::{self, Axes, Curve};
use crate::error::Result;
use crate::page::figure;
use sph_train::history::Epoch;

/// A figure of an epoch, and what an axis and a caption call it.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) axis: &'static str,
    pub(crate) caption: &'static str,
    pub(crate) of: fn(&Epoch) -> f64,
}

/// The charts of runs over each other: losses on a logarithmic scale.
pub(crate) const OVERLAID: [(Shown, bool); 4] = [
    (Shown { axis: "test accuracy %", caption: "Test accuracy", of: |e| 100.0 * e.test.1 }, false),
    (Shown { axis: "test loss", caption: "Test loss", of: |e| e.test.0 }, true),
    (Shown { axis: "training accuracy %", caption: "Training accuracy", of: |e| 100.0 * e.train.1 }, false),
    (Shown { axis: "training loss", caption: "Training loss", of: |e| e.train.0 }, true),
];

/// What they are drawn over.
pub(crate) const TIMES: [Shown; 2] = [
    Shown { axis: "epoch", caption: "epochs", of: |e| e.epoch as f64 },
    Shown { axis: "seconds", caption: "wall-clock time", of: |e| e.seconds },
];

/// What is drawn of adaptations.
pub(crate) const OF_ADAPTATIONS: [(Shown, bool); 3] = [OVERLAID[0], OVERLAID[1], OVERLAID[3]];

/// What adaptations are drawn over, beside wall-clock time.
pub(crate) const STEPS: Shown = Shown { axis: "step", caption: "steps", of: |e| e.epoch as f64 };

/// One chart of several curves.
pub(crate) fn over(shown: &Shown, time: &Shown, log: bool, curves: &[Curve]) -> Result<String> {
    let chart = charts::curves(Axes { x: time.axis, y: shown.axis, log }, curves)?;
    Ok(figure(&chart, &format!("{} over {}.", shown.caption, time.caption)))
}
