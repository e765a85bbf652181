//! Learning-rate schedules, one file each, and their table. A new one is a file here and a row of [`SCHEDULES`].

mod constant;
mod cosine;
mod one_cycle;
mod polynomial;
mod step;

/// What a schedule may depend on. Lengths are in epochs and may be fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleConfig {
    /// The rate after warmup.
    pub lr: f64,
    /// Where `cosine`, `polynomial` and `one-cycle` end.
    pub min_lr: f64,
    /// Length of the run, warmup included.
    pub epochs: f64,
    /// Length of the warmup; 0 for none.
    pub warmup_epochs: f64,
    /// Where the warmup starts.
    pub warmup_lr: f64,
    /// `step`: epochs between decays.
    pub decay_epochs: f64,
    /// `step`: factor of each decay.
    pub decay_rate: f64,
    /// `polynomial`: its power.
    pub power: f64,
}

impl ScheduleConfig {
    /// How much of the run behind the warmup is over, from 0 to 1.
    fn progress(&self, epoch: f64) -> f64 {
        ((epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)).clamp(0.0, 1.0)
    }
}

/// From 0 at 0 to 1 at 1, flat at both ends.
fn half_cosine(x: f64) -> f64 {
    0.5 * (1.0 - libm::cos(std::f64::consts::PI * x))
}

/// A row of the table of schedules.
pub struct ScheduleRow {
    /// The name users give.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The rate at `epoch` (a fraction inside the run), warmup aside.
    pub rate: fn(&ScheduleConfig, epoch: f64) -> f64,
    /// The shape of the warmup: from 0 at 0 to 1 at 1.
    pub rise: fn(f64) -> f64,
    /// The fraction of a run that is warmup when none is set.
    pub warmup: f64,
}

impl ScheduleRow {
    const fn linear(
        name: &'static str,
        about: &'static str,
        rate: fn(&ScheduleConfig, epoch: f64) -> f64,
    ) -> Self {
        ScheduleRow { name, about, rate, rise: |x| x, warmup: 0.0 }
    }
}

/// All schedules.
pub const SCHEDULES: &[ScheduleRow] = &[
    ScheduleRow::linear("cosine", "half a cosine from lr to min-lr", cosine::rate),
    ScheduleRow::linear("step", "times decay-rate every decay-epochs", step::rate),
    ScheduleRow::linear("polynomial", "from lr to min-lr as (1 − progress)^poly-power", polynomial::rate),
    ScheduleRow {
        rise: one_cycle::rise,
        warmup: 0.3,
        ..ScheduleRow::linear(
            "one-cycle",
            "up to lr for 0.3 of the run, then down to min-lr",
            one_cycle::rate,
        )
    },
    ScheduleRow::linear("constant", "lr throughout", constant::rate),
];

impl ScheduleRow {
    /// The learning rate at `epoch`, a fraction of epochs since the start: from `warmup_lr` to `lr` during warmup, linear but in
    /// `one-cycle`, then the schedule.
    ///
    /// ```
    /// use sph_optim::lr::{SCHEDULES, ScheduleConfig};
    /// let c = ScheduleConfig { lr: 0.1, min_lr: 0.0, epochs: 10.0, warmup_epochs: 2.0, warmup_lr: 0.0,
    ///     decay_epochs: 3.0, decay_rate: 0.1, power: 1.0 };
    /// let cosine = SCHEDULES.iter().find(|s| s.name == "cosine").unwrap();
    /// assert_eq!(cosine.at(&c, 1.0), 0.05);
    /// assert!((cosine.at(&c, 6.0) - 0.05).abs() < 1e-15);
    /// ```
    pub fn at(&self, c: &ScheduleConfig, epoch: f64) -> f64 {
        if epoch < c.warmup_epochs {
            c.warmup_lr + (c.lr - c.warmup_lr) * (self.rise)(epoch / c.warmup_epochs)
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
            power: 2.0,
        };
        let row = |name: &str| SCHEDULES.iter().find(|s| s.name == name).unwrap();
        let at = |name: &str, epoch: f64| row(name).at(&c, epoch);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} {b}");
        close(at("cosine", 0.0), 0.1);
        close(at("cosine", 5.0), 0.055);
        close(at("cosine", 10.0), 0.01);
        close(at("step", 2.9), 0.1);
        close(at("step", 6.0), 0.001);
        // Counted from the start of the run, warmup included.
        close(row("step").at(&ScheduleConfig { warmup_epochs: 2.0, ..c }, 3.5), 0.01);
        close(at("constant", 9.9), 0.1);
        close(at("polynomial", 0.0), 0.1);
        close(at("polynomial", 5.0), 0.01 + 0.09 * 0.25);
        close(at("polynomial", 10.0), 0.01);
        // PyTorch's OneCycleLR(max_lr=0.1, total_steps=11, div_factor=25, final_div_factor=1000) at step 2, 4 and 7.
        let c = ScheduleConfig { warmup_epochs: 2.3, warmup_lr: 0.004, min_lr: 4e-6, ..c };
        let one_cycle = |epoch: f64| row("one-cycle").at(&c, epoch);
        close(one_cycle(2.0), 0.09602614247226175);
        close(one_cycle(4.0), 0.08844798836591743);
        close(one_cycle(7.0), 0.033008214699472335);
        // Linear in all others, whatever follows.
        for name in ["cosine", "step", "polynomial", "constant"] {
            close(row(name).at(&ScheduleConfig { warmup_epochs: 2.0, ..c }, 0.5), 0.028);
        }
    }
}
