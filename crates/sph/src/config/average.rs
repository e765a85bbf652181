//! Settings of the average of weights.

use super::values::below_one;
use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_train::training::AverageConfig;

/// The average of weights that is evaluated beside the model.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Average of weights")]
pub struct AverageArgs {
    /// Keep an exponential moving average of the weights; it is evaluated and saved beside the model.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    pub model_ema: bool,
    /// Decay of the average, per step [default: 0.9998].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_ema_decay: Option<f64>,
    /// Begin with a smaller decay, so that the first values are forgotten sooner.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    pub model_ema_warmup: bool,
}

impl AverageArgs {
    /// The average's settings; `None` when there is none.
    ///
    /// # Errors
    /// For settings of an average that was not asked for.
    pub fn config(&self) -> Result<Option<AverageConfig>> {
        let given = [
            ("model-ema-decay", self.model_ema_decay.is_some()),
            ("model-ema-warmup", self.model_ema_warmup),
        ];
        if !self.model_ema
            && let Some((flag, _)) = given.iter().find(|(_, given)| *given)
        {
            return Err(Error::needs(flag, "--model-ema"));
        }
        let decay = self.model_ema_decay.unwrap_or(0.9998);
        Ok(self.model_ema.then_some(AverageConfig { decay, warmup: self.model_ema_warmup }))
    }
}
