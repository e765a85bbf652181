//! Times `decay_rate` every `decay_epochs`, counted from the start of the run, as timm does.

use super::ScheduleConfig;
use crate::ema::power;

pub(super) fn rate(c: &ScheduleConfig, epoch: f64) -> f64 {
    c.lr * power(c.decay_rate, (epoch / c.decay_epochs) as u64)
}
