//! Half a cosine from `lr` at the end of warmup to `min_lr` at the end of the run (Loshchilov and Hutter 2017).

use super::{ScheduleConfig, half_cosine};

pub(super) fn rate(c: &ScheduleConfig, epoch: f64) -> f64 {
    c.min_lr + (c.lr - c.min_lr) * half_cosine(1.0 - c.progress(epoch))
}
