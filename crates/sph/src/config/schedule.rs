//! Settings of the learning-rate schedule.

use super::values::{names, not_negative, positive, row};
use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_optim::lr::{SCHEDULES, ScheduleConfig, ScheduleRow};

/// The learning-rate schedule. A setting that the chosen schedule does not have is an error.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScheduleArgs {
    /// Learning-rate schedule.
    #[arg(long, default_value = "cosine", value_parser = names(SCHEDULES.iter().map(|s| (s.name, s.about))))]
    pub sched: String,
    /// Epochs of warmup [default: 0; one-cycle: 0.3 of --epochs].
    #[arg(long, value_parser = not_negative)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_epochs: Option<f64>,
    /// Learning rate at the start of warmup [default: 0.00001; one-cycle: lr/25].
    #[arg(long, value_parser = not_negative)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_lr: Option<f64>,
    /// Learning rate at the end of cosine, polynomial and one-cycle [default: 0; one-cycle: lr/250000].
    #[arg(long, value_parser = not_negative)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr: Option<f64>,
    /// Epochs between decays of step [default: 30].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_epochs: Option<f64>,
    /// Factor of each decay of step [default: 0.1].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_rate: Option<f64>,
    /// Power of polynomial [default: 1].
    #[arg(long, value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poly_power: Option<f64>,
}

impl ScheduleArgs {
    /// The schedule and its settings, for a run of `epochs` with learning rate `lr`.
    ///
    /// # Errors
    /// For settings that do not fit each other.
    pub fn build(&self, epochs: usize, lr: f64) -> Result<(&'static ScheduleRow, ScheduleConfig)> {
        let row = row(SCHEDULES, |s| s.name, &self.sched)?;
        let falling: &[&str] = &["cosine", "polynomial", "one-cycle"];
        let given = [
            ("min-lr", self.min_lr.is_some(), falling),
            ("decay-epochs", self.decay_epochs.is_some(), &["step"]),
            ("decay-rate", self.decay_rate.is_some(), &["step"]),
            ("poly-power", self.poly_power.is_some(), &["polynomial"]),
        ];
        if let Some((flag, _, of)) = given.iter().find(|(_, given, of)| *given && !of.contains(&row.name)) {
            let of = of.join(" and ");
            let reason = format!("is a setting of --sched {of}, not of --sched {}", self.sched);
            return Err(Error::flag(flag, None, reason));
        }
        let length = epochs as f64;
        let warmup_epochs = self.warmup_epochs.unwrap_or(row.warmup * length);
        if warmup_epochs >= length {
            let reason = format!("must be less than --epochs {epochs}");
            return Err(Error::flag("warmup-epochs", warmup_epochs.to_string(), reason));
        }
        if self.warmup_lr.is_some() && warmup_epochs == 0.0 {
            return Err(Error::needs("warmup-lr", "--warmup-epochs"));
        }
        // PyTorch's div_factor and final_div_factor.
        let (warmup_lr, min_lr) = if row.name == "one-cycle" { (lr / 25.0, lr / 25e4) } else { (1e-5, 0.0) };
        if let Some(min_lr) = self.min_lr.filter(|m| *m > lr) {
            let reason = format!("must not be greater than --lr {lr}");
            return Err(Error::flag("min-lr", min_lr.to_string(), reason));
        }
        let config = ScheduleConfig {
            lr,
            min_lr: self.min_lr.unwrap_or(min_lr),
            epochs: length,
            warmup_epochs,
            warmup_lr: self.warmup_lr.unwrap_or(warmup_lr),
            decay_epochs: self.decay_epochs.unwrap_or(30.0),
            decay_rate: self.decay_rate.unwrap_or(0.1),
            power: self.poly_power.unwrap_or(1.0),
        };
        Ok((row, config))
    }
}
