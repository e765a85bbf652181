//! What is averaged over runs: three tables.

use super::finished::FinishedRun;

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

/// Those of trainings.
pub(super) const OF_TRAININGS: &[Quantity] = &[
    Quantity {
        name: "best_test_accuracy",
        head: "best test acc %",
        of: |r| r.end.best?.1.accuracy,
        ..PERCENT
    },
    FINAL_ACCURACY,
    Quantity {
        name: "final_ema_test_accuracy",
        head: "its average of weights",
        of: |r| r.end.average,
        ..PERCENT
    },
    SECONDS_TO_TARGET,
    SECONDS,
    STEP_MS,
    OVERHEAD,
    PEAK_MB,
];

/// Those of trainings without accuracies.
pub(super) const OF_TRAININGS_BY_LOSS: &[Quantity] = &[
    Quantity {
        name: "best_test_loss",
        head: "best test loss",
        digits: 4,
        of: |r| Some(r.end.best?.1.loss),
        ..FINAL_LOSS
    },
    Quantity { digits: 4, ..FINAL_LOSS },
    Quantity {
        name: "final_ema_test_loss",
        head: "its average of weights",
        digits: 4,
        of: |r| r.end.average,
        ..FINAL_LOSS
    },
    SECONDS_TO_TARGET,
    SECONDS,
    STEP_MS,
    OVERHEAD,
    PEAK_MB,
];

/// Those of adaptations.
pub(super) const OF_ADAPTATIONS: &[Quantity] = &[
    Quantity { name: "accuracy_after_5", head: "acc % after 5", of: |r| r.accuracy_after(5), ..PERCENT },
    Quantity { name: "accuracy_after_10", head: "acc % after 10", of: |r| r.accuracy_after(10), ..PERCENT },
    Quantity { name: "accuracy_after_20", head: "acc % after 20", of: |r| r.accuracy_after(20), ..PERCENT },
    FINAL_ACCURACY,
    FINAL_LOSS,
    Quantity {
        name: "steps_to_target",
        head: "steps to target",
        scale: 1.0,
        digits: 1,
        of: |r| Some(r.target_row()?.epoch as f64),
    },
    Quantity { digits: 2, ..SECONDS_TO_TARGET },
    Quantity { digits: 2, ..SECONDS },
    STEP_MS,
    PEAK_MB,
];

const PERCENT: Quantity = Quantity { name: "", head: "", scale: 100.0, digits: 2, of: |_| None };

const FINAL_ACCURACY: Quantity = Quantity {
    name: "final_test_accuracy",
    head: "final test acc %",
    of: |r| r.end.last?.accuracy,
    ..PERCENT
};

const FINAL_LOSS: Quantity = Quantity {
    name: "final_test_loss",
    head: "final test loss",
    scale: 1.0,
    digits: 3,
    of: |r| Some(r.end.last?.loss),
};

const OVERHEAD: Quantity = Quantity {
    name: "curvature_overhead",
    head: "curvature overhead %",
    scale: 100.0,
    digits: 0,
    of: |r| r.end.curvature_overhead,
};

const SECONDS_TO_TARGET: Quantity = Quantity {
    name: "seconds_to_target",
    head: "s to target",
    scale: 1.0,
    digits: 1,
    of: |r| Some(r.target_row()?.seconds),
};

const SECONDS: Quantity =
    Quantity { name: "seconds", head: "s in all", scale: 1.0, digits: 1, of: |r| Some(r.end.seconds) };

const STEP_MS: Quantity = Quantity {
    name: "step_ms",
    head: "ms/step",
    scale: 1.0,
    digits: 2,
    of: |r| Some(r.epochs.last()?.step_ms),
};

const PEAK_MB: Quantity =
    Quantity { name: "peak_rss_mb", head: "peak MB", scale: 1.0, digits: 0, of: |r| r.end.peak_rss_mb };
