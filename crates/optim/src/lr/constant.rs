//! The same rate throughout.

use super::ScheduleConfig;

pub(super) fn rate(c: &ScheduleConfig, _epoch: f64) -> f64 {
    c.lr
}
