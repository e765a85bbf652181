//! A setting of a comparison's runs, with the values that it has there: a list, or a range that trials are drawn from.

/// A setting of runs and the values it has in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Values,
}

impl Setting {
    /// One with listed values.
    pub fn list(name: impl Into<String>, values: Vec<String>) -> Self {
        Setting { name: name.into(), values: Values::List(values) }
    }
}

/// The values of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// One value, or several: a grid. With a tuning rule, several of an optimizer's own are what is tried.
    List(Vec<String>),
    /// What is tried is drawn from a range.
    Range(Range),
}

impl Values {
    /// The values of a list; a range has none yet.
    pub fn listed(&self) -> &[String] {
        match self {
            Values::List(values) => values,
            Values::Range(_) => &[],
        }
    }
}

/// A range that values of a setting are drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Evenly in the logarithm.
    pub log: bool,
    /// Its smallest value.
    pub from: f64,
    /// Its largest value.
    pub to: f64,
}

impl Range {
    /// The range from one number to a larger one.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn new(log: bool, from: f64, to: f64) -> std::result::Result<Self, String> {
        match () {
            () if !(from < to && to.is_finite()) => Err(format!("the range from {from} to {to} is empty")),
            () if log && from <= 0.0 => {
                Err(format!("a range in the logarithm begins above 0, not at {from}"))
            }
            () => Ok(Range { log, from, to }),
        }
    }

    /// The value at `u` of [0, 1), in three significant digits.
    pub(super) fn at(&self, u: f64) -> String {
        let (from, to) = (self.from, self.to);
        let v = match self.log {
            true => libm::exp(libm::log(from) + u * (libm::log(to) - libm::log(from))),
            false => from + u * (to - from),
        };
        let short: f64 = format!("{v:.2e}").parse().unwrap_or(v);
        // Rounding must not leave the range.
        short.clamp(from, to).to_string()
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}{}", self.from, self.to, if self.log { " (log)" } else { "" })
    }
}
