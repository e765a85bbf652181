//! The running average of a block's curvature (docs/algorithm.md §4 and §5).

use crate::curvature::probes::Probe;
use crate::ema::Ema;
use crate::group::map_in_place;
use sph_tensor::{Array, Element};

/// What is averaged over visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Averaging {
    /// The estimate with its sign; unbiased probes stay unbiased.
    Signed,
    /// Its absolute value, the ancestor's choice; biased under random probes.
    Absolute,
}

/// What can be averaged, by the names users give, and what it means.
pub const AVERAGES: &[(&str, Averaging, &str)] = &[
    ("signed", Averaging::Signed, "unbiased probes stay unbiased"),
    ("absolute", Averaging::Absolute, "the ancestor's choice"),
];

/// How the average's start from zero is made good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// d / (1 − βⁿ), n the block's own visits.
    OwnVisits,
    /// The ancestor's: d as it is, the direction times 1 − μⁿ, n counted in cycles.
    Cycles,
}

/// One block's average and number of visits.
///
/// Most probes are averaged exponentially. A probe whose mean over a whole cycle of visits is exact is averaged over whole
/// cycles instead: what the last whole one found, or, in the first, the mean so far.
#[derive(Debug, Clone)]
pub struct Estimator<T: Element> {
    ema: Ema<T>,
    /// Sum over the cycle under way.
    pub(crate) partial: Option<Array<T>>,
}

impl<T: Element> Default for Estimator<T> {
    fn default() -> Self {
        Estimator { ema: Ema::default(), partial: None }
    }
}

impl<T: Element> Estimator<T> {
    /// An estimator as it was saved.
    pub fn restored(average: Option<Array<T>>, partial: Option<Array<T>>, visits: u64) -> Self {
        Estimator { ema: Ema { value: average, count: visits }, partial }
    }

    /// What a block of `entries` that was visited so often must have and this one has not: its average (0) or the sum over the cycle under
    /// way (1).
    pub(crate) fn lacks(&self, probe: &dyn Probe, entries: usize) -> Option<usize> {
        let length = probe.cycle(entries).unwrap_or(1);
        let (whole, under_way) = (self.ema.count >= length, !self.ema.count.is_multiple_of(length));
        match (&self.ema.value, &self.partial) {
            (None, _) if whole => Some(0),
            (_, None) if under_way => Some(1),
            _ => None,
        }
    }

    /// The average after the estimate of one more visit, in the estimate's buffer.
    pub fn after(&self, probe: &dyn Probe, averaging: Averaging, decay: f64, mut estimate: Array<T>) -> Self {
        if averaging == Averaging::Absolute {
            map_in_place(&mut estimate, |c| c.abs());
        }
        let Some(length) = probe.cycle(estimate.shape().len()) else {
            return Estimator { ema: self.ema.after(decay, estimate), partial: None };
        };
        let mut sum = estimate;
        if let Some(before) = &self.partial {
            sum.accumulate(before);
        }
        let count = self.ema.count + 1;
        if count.is_multiple_of(length) {
            let scale = T::from_f64(1.0 / length as f64);
            map_in_place(&mut sum, |v| scale * v);
            Estimator { ema: Ema { value: Some(sum), count }, partial: None }
        } else {
            Estimator { ema: Ema { value: self.ema.value.clone(), count }, partial: Some(sum) }
        }
    }

    /// The average and what it is to be multiplied by; `None` before the first visit.
    pub fn curvature(&self, probe: &dyn Probe, decay: f64) -> Option<(&Array<T>, f64)> {
        match (&self.ema.value, &self.partial) {
            (Some(average), _) if probe.cycle(average.shape().len()).is_some() => Some((average, 1.0)),
            (Some(average), _) => Some((average, 1.0 / self.ema.correction(decay))),
            (None, Some(sum)) => Some((sum, 1.0 / self.ema.count as f64)),
            (None, None) => None,
        }
    }

    /// The average as it stands, without correction; `None` before the first visit (or whole cycle).
    pub fn average(&self) -> Option<&Array<T>> {
        self.ema.value.as_ref()
    }

    /// How often the block was visited.
    pub fn visits(&self) -> u64 {
        self.ema.count
    }
}
