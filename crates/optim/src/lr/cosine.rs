//! Half a cosine from `lr` at the end of warmup to `min_lr` at the end of the run (Loshchilov and Hutter 2017).

use super::ScheduleConfig;

pub(super) fn rate(c: &ScheduleConfig, epoch: f64) -> f64 {
    let progress = ((epoch - c.warmup_epochs) / (c.epochs - c.warmup_epochs)).clamp(0.0, 1.0);
    c.min_lr + 0.5 * (c.lr - c.min_lr) * (1.0 + libm::cos(std::f64::consts::PI * progress))
}
