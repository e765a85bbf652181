//! Values by setting, and the settings that several optimizers share.

use crate::SettingsError;
pub use crate::setting::{Kind, Range, Setting, Value, named};
use std::collections::BTreeMap;

/// What a row's builder reads: it is there when the setting has a usual value or was given.
impl Setting {
    /// Its value, a number.
    ///
    /// # Errors
    /// When there is none.
    pub fn number_in(&self, s: &Settings) -> Result<f64, SettingsError> {
        s.number(self.name).ok_or(SettingsError::Missing(self.name))
    }

    /// Its value, two numbers.
    ///
    /// # Errors
    /// When there is none.
    pub fn pair_in(&self, s: &Settings) -> Result<(f64, f64), SettingsError> {
        s.pair(self.name).ok_or(SettingsError::Missing(self.name))
    }

    /// Its value, a whole number.
    ///
    /// # Errors
    /// When there is none.
    pub fn count_in(&self, s: &Settings) -> Result<u64, SettingsError> {
        s.count(self.name).ok_or(SettingsError::Missing(self.name))
    }

    /// Its value, a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn name_in<'s>(&self, s: &'s Settings) -> Result<&'s str, SettingsError> {
        s.name(self.name).ok_or(SettingsError::Missing(self.name))
    }
}

/// Values by setting, and the seed of what an optimizer draws.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    values: BTreeMap<String, Value>,
    /// Seed of probes and sampled labels.
    pub seed: u64,
}

impl Settings {
    /// The same settings with this one set.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a value, in the place of the one that was there.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.values.insert(name.into(), value.into());
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (&**name, value))
    }

    /// What `other` has and these settings do not.
    pub fn fill(&mut self, other: &Settings) {
        for (name, value) in &other.values {
            self.values.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// A number, where it is set.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Number(v) => Some(*v),
            _ => None,
        }
    }

    /// Two numbers, where they are set.
    pub fn pair(&self, name: &str) -> Option<(f64, f64)> {
        match self.get(name)? {
            Value::Pair(a, b) => Some((*a, *b)),
            _ => None,
        }
    }

    /// A whole number, where it is set.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Count(n) => Some(*n),
            _ => None,
        }
    }

    /// Whether a switch is on.
    pub fn switch(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Switch(true))
    }

    /// A name, where it is set.
    pub fn name(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Name(text) => Some(text),
            _ => None,
        }
    }
}

/// The learning rate; the loop hands it to every step.
pub const LR: Setting = Setting::number("lr", "Learning rate", Range::Positive);
/// μ of [`crate::transforms::Momentum`].
pub const MOMENTUM: Setting = Setting::number("momentum", "Momentum", Range::BelowOne);
/// Decay of what is not 1-D.
pub const WEIGHT_DECAY: Setting =
    Setting::number("weight-decay", "Weight decay on weights", Range::NotNegative);
/// Decay of 1-D parameters.
pub const WEIGHT_DECAY_1D: Setting =
    Setting::number("weight-decay-1d", "Weight decay on 1-D parameters", Range::NotNegative);
/// Decays of Adam's two averages.
pub const BETAS: Setting = Setting {
    name: "opt-betas",
    about: "Decays of the averages of the gradient and of its square, or of curvature's; two numbers",
    kind: Kind::Pair(Range::BelowOne),
    default: None,
};
/// What guards Adam's division.
pub const OPT_EPS: Setting = Setting::number("opt-eps", "Guard of the division", Range::Positive);
/// Damping of second-order steps.
pub const EPS: Setting = Setting::number(
    "eps",
    "Damping ε, added to rectified curvature or to absolute eigenvalues",
    Range::Positive,
);
/// How often curvature is asked for.
pub const CURVATURE_EVERY: Setting =
    Setting::count("curvature-every", "Ask for curvature at each n-th step only").or(|| Value::Count(1));
/// The part of a batch that curvature is taken on. Whoever evaluates the loss reads it.
pub const CURVATURE_BATCH: Setting = Setting::number(
    "curvature-batch",
    "Take curvature on this part of each batch only; cheaper below about 0.3",
    Range::Fraction,
)
.or(|| Value::Number(1.0));
/// The second-order blocks of an optimizer with two halves.
pub const SECOND_ORDER: Setting = Setting {
    name: "second-order",
    about: "Second-order blocks: words and patterns as in `trainable`",
    kind: Kind::Parameters,
    default: None,
};
/// The largest gradient.
pub const CLIP_GRAD: Setting = Setting::number(
    "clip-grad",
    "Clip the gradient, before momentum; not curvature, nor the step that it scales",
    Range::Positive,
);
/// What [`CLIP_GRAD`] bounds.
pub const CLIP_MODE: Setting = Setting::one_of("clip-mode", "What `clip-grad` bounds", || {
    named(crate::transforms::CLIP_MODES.iter().map(|m| (m.0, m.2)))
})
.or(|| "norm".into());
/// How often a step is halved.
pub const BACKTRACK: Setting = Setting {
    name: "backtrack",
    about: "Halve a step while it raises the loss of its own batch, at most so often; each look is a forward pass",
    kind: Kind::Count(0, 32),
    default: Some(|| Value::Count(0)),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_back_from_their_text() {
        let betas = Value::Pair(0.8, 0.99);
        assert_eq!(BETAS.parse(&betas.to_string()), Ok(betas));
        assert_eq!(CLIP_MODE.parse("value"), Ok(Value::Name("value".into())));
        assert_eq!(SECOND_ORDER.parse("norm, layer1.*").unwrap().to_string(), "norm,layer1.*");
        assert_eq!(BACKTRACK.parse("0"), Ok(Value::Count(0)));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let refused = |setting: Setting, value: Value| setting.check(value).unwrap_err().to_string();
        assert_eq!(refused(LR, 0.0.into()), "`lr` 0 must be greater than 0");
        assert_eq!(refused(MOMENTUM, f64::NAN.into()), "`momentum` NaN must be at least 0 and less than 1");
        assert_eq!(refused(BETAS, (0.9, 1.0).into()), "`opt-betas` 0.9,1 must be at least 0 and less than 1");
        assert_eq!(refused(BACKTRACK, 33u64.into()), "`backtrack` 33 must be a whole number from 0 to 32");
        assert!(refused(CLIP_MODE, "maximum".into()).contains("norm, value"));
        assert!(CURVATURE_BATCH.check(1.0).is_ok() && WEIGHT_DECAY.check(0.0).is_ok());
    }
}
