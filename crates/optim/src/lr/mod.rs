//! Learning-rate schedules, one file each, and their table. A new one is a file here and a row of [`SCHEDULES`].

mod constant;
mod cosine;
mod step;

/// What a schedule may depend on. Lengths are in epochs and may be fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleConfig {
    /// The rate after warmup.
    pub lr: f64,
    /// Where `cosine` ends.
    pub min_lr: f64,
    /// Length of the run, warmup included.
    pub epochs: f64,
    /// Length of the linear warmup; 0 for none.
    pub warmup_epochs: f64,
    /// Where the warmup starts.
    pub warmup_lr: f64,
    /// `step`: epochs between decays.
    pub decay_epochs: f64,
    /// `step`: factor of each decay.
    pub decay_rate: f64,
}

/// A row of the table of schedules.
pub struct ScheduleRow {
    /// The name users give.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The rate at `epoch` (a fraction inside the run), warmup aside.
    pub rate: fn(&ScheduleConfig, epoch: f64) -> f64,
}

/// All schedules.
pub const SCHEDULES: &[ScheduleRow] = &[
    ScheduleRow { name: "cosine", about: "half a cosine from lr to min-lr", rate: cosine::rate },
    ScheduleRow { name: "step", about: "times decay-rate every decay-epochs", rate: step::rate },
    ScheduleRow { name: "constant", about: "lr throughout", rate: constant::rate },
];

impl ScheduleRow {
    /// The learning rate at `epoch`, a fraction of epochs since the start: linear from `warmup_lr` to `lr` during warmup,
    /// then the schedule.
    ///
    /// ```
    /// use sph_optim::lr::{SCHEDULES, ScheduleConfig};
    /// let c = ScheduleConfig { lr: 0.1, min_lr: 0.0, epochs: 10.0, warmup_epochs: 2.0, warmup_lr: 0.0,
    ///     decay_epochs: 3.0, decay_rate: 0.1 };
    /// let cosine = SCHEDULES.iter().find(|s| s.name == "cosine").unwrap();
    /// assert_eq!(cosine.at(&c, 1.0), 0.05);
    /// assert!((cosine.at(&c, 6.0) - 0.05).abs() < 1e-15);
    /// ```
    pub fn at(&self, c: &ScheduleConfig, epoch: f64) -> f64 {
        if epoch < c.warmup_epochs {
            c.warmup_lr + (c.lr - c.warmup_lr) * (epoch / c.warmup_epochs)
        } else {
            (self.rate)(c, epoch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_hit_their_marks() {
        let c = ScheduleConfig {
            lr: 0.1,
            min_lr: 0.01,
            epochs: 10.0,
            warmup_epochs: 0.0,
            warmup_lr: 0.0,
            decay_epochs: 3.0,
            decay_rate: 0.1,
        };
        let at = |name: &str, epoch: f64| SCHEDULES.iter().find(|s| s.name == name).unwrap().at(&c, epoch);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} {b}");
        close(at("cosine", 0.0), 0.1);
        close(at("cosine", 5.0), 0.055);
        close(at("cosine", 10.0), 0.01);
        close(at("step", 2.9), 0.1);
        close(at("step", 6.0), 0.001);
        close(at("constant", 9.9), 0.1);
    }
}
