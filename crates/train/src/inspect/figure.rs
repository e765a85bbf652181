//! Numbers with their standard errors.

use serde::{Serialize, Serializer};
use sph_optim::analysis::Estimate;

/// A number: the mean over batches, and its standard error sd/√N when there are several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The mean; infinite where one batch's number is, as the condition number of a singular block. JSON has the text `inf` then.
    #[serde(serialize_with = "number_or_text")]
    pub mean: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
}

impl Figure {
    /// The mean of `samples`; `None` when one of them is not known (NaN), or there are none.
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        let known = !samples.is_empty() && !samples.iter().any(|v| v.is_nan());
        let Estimate { mean, standard_error } = known.then(|| Estimate::of(samples))?;
        (!mean.is_nan()).then_some(Figure { mean, standard_error: standard_error.filter(|e| e.is_finite()) })
    }

    /// It is smaller than its standard error, by more than rounding: where one batch alone has something, both are equal.
    pub fn is_unresolved(&self) -> bool {
        self.standard_error.is_some_and(|e| e > self.mean.abs() * (1.0 + 1e-9))
    }
}

/// JSON has no infinite numbers.
fn number_or_text<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
    if v.is_finite() { s.serialize_f64(*v) } else { s.serialize_str(&v.to_string()) }
}

impl From<Estimate> for Figure {
    fn from(e: Estimate) -> Self {
        Figure { mean: e.mean, standard_error: e.standard_error }
    }
}

/// Smallest, median and largest figure over blocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    #[serde(serialize_with = "number_or_text")]
    pub min: f64,
    /// The median.
    #[serde(serialize_with = "number_or_text")]
    pub median: f64,
    /// The largest.
    #[serde(serialize_with = "number_or_text")]
    pub max: f64,
}
