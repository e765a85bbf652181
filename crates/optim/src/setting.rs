//! A setting of optimizers as data: a name, one line, a range, a usual value. Flags, help, files and records derive from it.

use crate::SettingsError;
use std::borrow::Cow;
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

/// Names and what they mean, as [`Kind::Name`] has them.
pub fn named<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    rows.into_iter().map(|(name, about)| (name.to_string(), about.to_string())).collect()
}
