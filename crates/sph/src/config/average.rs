//! Settings of the average of weights.

use super::values::below_one;
use crate::error::{Error, Result};
use clap::Args;
use serde::Serialize;
use sph_train::training::AverageConfig;

/// The average of weights that is evaluated beside the model.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AverageArgs {
    /// Keep an exponential moving average of the weights; it is evaluated and saved beside the model.
    #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_default_value = true, hide_possible_values = true)]
    pub model_ema: bool,
    /// Decay of the average, per step [default: 0.9998].
    #[arg(long, value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_ema_decay: Option<f64>,
    /// Begin with a smaller decay, 1 − (1+t)^(−2/3) at step t, so that a short run forgets its first values, too [default: true].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true, hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_ema_warmup: Option<bool>,
}

impl AverageArgs {
    /// The average's settings; `None` when there is none.
    ///
    /// # Errors
    /// For settings of an average that was not asked for.
    pub fn config(&self) -> Result<Option<AverageConfig>> {
        // Records of runs without an average may say that it has no warmup.
        let given = [
            ("model-ema-decay", self.model_ema_decay.is_some()),
            ("model-ema-warmup", self.model_ema_warmup == Some(true)),
        ];
        if !self.model_ema
            && let Some((flag, _)) = given.iter().find(|(_, given)| *given)
        {
            return Err(Error::needs(flag, "--model-ema"));
        }
        let decay = self.model_ema_decay.unwrap_or(0.9998);
        let warmup = self.model_ema_warmup.unwrap_or(true);
        Ok(self.model_ema.then_some(AverageConfig { decay, warmup }))
    }
}
