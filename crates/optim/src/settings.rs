//! Settings of optimizers as data: a name, one line, a range, a usual value. Flags, help, files and records derive from them.

use crate::SettingsError;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A setting that optimizers have.
///
/// ```
/// use sph_optim::settings::{MOMENTUM, Value};
/// assert_eq!(MOMENTUM.parse("0.8").unwrap(), Value::Number(0.8));
/// assert_eq!(MOMENTUM.parse("1").unwrap_err(), "must be at least 0 and less than 1");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name users give, in kebab case.
    pub name: &'static str,
    /// What it does, in one line without a full stop.
    pub about: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its usual value; none where it is off unless it is given.
    pub default: Option<fn() -> Value>,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A number.
    Number(Range),
    /// Two numbers of the same range, with a comma between them.
    Pair(Range),
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// On or off.
    Switch,
    /// One of these names; each comes with what it means.
    Name(fn() -> Vec<(String, String)>),
    /// A set of parameters, as [`sph_autodiff::Selection`] reads it.
    Parameters,
}

/// A range of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Greater than 0.
    Positive,
    /// 0 or greater.
    NotNegative,
    /// At least 0 and less than 1.
    BelowOne,
    /// Greater than 0 and at most 1.
    Fraction,
}

impl Range {
    /// Whether a number lies in it; none that is not finite does.
    pub fn contains(self, v: f64) -> bool {
        v.is_finite()
            && match self {
                Range::Positive => v > 0.0,
                Range::NotNegative => v >= 0.0,
                Range::BelowOne => (0.0..1.0).contains(&v),
                Range::Fraction => v > 0.0 && v <= 1.0,
            }
    }

    /// The number in `text`.
    ///
    /// # Errors
    /// What is wrong with it, to be put behind the setting's name.
    pub fn parse(self, text: &str) -> Result<f64, String> {
        match text.trim().parse::<f64>() {
            Ok(v) if self.contains(v) => Ok(v),
            Ok(_) => Err(format!("must be {self}")),
            Err(_) => Err(format!("is not a number; must be {self}")),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Range::Positive => "greater than 0",
            Range::NotNegative => "0 or greater",
            Range::BelowOne => "at least 0 and less than 1",
            Range::Fraction => "greater than 0 and at most 1",
        })
    }
}

/// The value of a setting. Its text is what [`Setting::parse`] reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Number`].
    Number(f64),
    /// Of [`Kind::Pair`].
    Pair(f64, f64),
    /// Of [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Switch`].
    Switch(bool),
    /// Of [`Kind::Name`] and [`Kind::Parameters`].
    Name(Cow<'static, str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(v) => write!(f, "{v}"),
            Value::Pair(a, b) => write!(f, "{a},{b}"),
            Value::Count(n) => write!(f, "{n}"),
            Value::Switch(on) => write!(f, "{on}"),
            Value::Name(name) => f.write_str(name),
        }
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Number(v)
    }
}

impl From<(f64, f64)> for Value {
    fn from((a, b): (f64, f64)) -> Self {
        Value::Pair(a, b)
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Value::Count(n)
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Value::Switch(on)
    }
}

impl From<String> for Value {
    fn from(name: String) -> Self {
        Value::Name(name.into())
    }
}

impl From<&'static str> for Value {
    fn from(name: &'static str) -> Self {
        Value::Name(name.into())
    }
}

impl Setting {
    /// A number.
    pub const fn number(name: &'static str, about: &'static str, range: Range) -> Self {
        Setting { name, about, kind: Kind::Number(range), default: None }
    }

    /// A whole number from 1 to a million.
    pub const fn count(name: &'static str, about: &'static str) -> Self {
        Setting { name, about, kind: Kind::Count(1, 1_000_000), default: None }
    }

    /// One of several names.
    pub const fn one_of(
        name: &'static str,
        about: &'static str,
        names: fn() -> Vec<(String, String)>,
    ) -> Self {
        Setting { name, about, kind: Kind::Name(names), default: None }
    }

    /// The same setting with this usual value.
    #[must_use]
    pub const fn or(self, default: fn() -> Value) -> Self {
        Setting { default: Some(default), ..self }
    }

    /// The value in `text`.
    ///
    /// # Errors
    /// What is wrong with it, to be put behind the setting's name.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Number(range) => Ok(Value::Number(range.parse(text)?)),
            Kind::Pair(range) => match text.split_once(',') {
                Some((a, b)) => Ok(Value::Pair(range.parse(a)?, range.parse(b)?)),
                None => Err("must be two numbers with a comma between them, such as 0.9,0.999".into()),
            },
            Kind::Count(from, to) => match text.parse::<u64>() {
                Ok(n) if (from..=to).contains(&n) => Ok(Value::Count(n)),
                _ => Err(format!("must be a whole number from {from} to {to}")),
            },
            Kind::Switch => match text {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => Err("must be true or false".into()),
            },
            Kind::Name(names) => {
                let names = names();
                match names.iter().any(|n| n.0 == text) {
                    true => Ok(Value::Name(text.to_string().into())),
                    false => Err(format!(
                        "must be one of {}",
                        names.iter().map(|n| &*n.0).collect::<Vec<_>>().join(", ")
                    )),
                }
            }
            Kind::Parameters => match text.parse::<sph_autodiff::Selection>() {
                Ok(selection) => Ok(Value::Name(selection.to_string().into())),
                Err(e) => Err(e.to_string()),
            },
        }
    }

    /// Whether it takes this value, however it was made.
    ///
    /// # Errors
    /// Naming the setting, the value and its range.
    pub fn check(&self, value: impl Into<Value>) -> Result<(), SettingsError> {
        let text = value.into().to_string();
        match self.parse(&text) {
            Ok(_) => Ok(()),
            Err(reason) => Err(SettingsError::Value { setting: self.name.into(), value: text, reason }),
        }
    }
}

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
/// The rule for the rest of an optimizer with two halves.
pub const FIRST_ORDER: Setting = Setting::one_of(
    "first-order",
    "What is done with the parameters that are not second-order blocks",
    || named(crate::presets::all().iter().filter(|r| r.is_rule()).map(|r| (r.name, r.about))),
);
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

/// Names and what they mean, as [`Kind::Name`] has them.
pub fn named<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    rows.into_iter().map(|(name, about)| (name.to_string(), about.to_string())).collect()
}

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
