//! From `lr` at the end of warmup to `min_lr` at the end of the run as (1 − progress)^power.

use super::ScheduleConfig;

pub(super) fn rate(c: &ScheduleConfig, epoch: f64) -> f64 {
    c.min_lr + (c.lr - c.min_lr) * libm::pow(1.0 - c.progress(epoch), c.power)
}
