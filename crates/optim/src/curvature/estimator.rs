//! The running average of a block's curvature (docs/algorithm.md §5).

use crate::ema::Ema;
use sph_tensor::{Array, Element, kernels::map};

/// What is averaged over visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Averaging {
    /// The estimate with its sign; unbiased probes stay unbiased.
    Signed,
    /// Its absolute value, the ancestor's choice; biased under random probes.
    Absolute,
}

/// How the average's start from zero is made good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// d / (1 − βⁿ), n the block's own visits.
    OwnVisits,
    /// The ancestor's: d as it is, the direction times 1 − μⁿ, n counted in cycles.
    Cycles,
}

/// One block's average and number of visits.
#[derive(Debug, Clone)]
pub struct Estimator<T: Element>(Ema<T>);

impl<T: Element> Default for Estimator<T> {
    fn default() -> Self {
        Estimator(Ema::default())
    }
}

impl<T: Element> Estimator<T> {
    /// An estimator as it was saved.
    pub fn restored(average: Array<T>, visits: u64) -> Self {
        Estimator(Ema { value: Some(average), count: visits })
    }

    /// Takes the estimate of one visit in.
    pub fn observe(&mut self, averaging: Averaging, decay: f64, estimate: &Array<T>) {
        match averaging {
            Averaging::Signed => self.0.observe(decay, estimate.as_slice(), estimate),
            Averaging::Absolute => {
                let mut absolute = Array::stale(estimate.pool(), estimate.shape());
                map::unary(absolute.make_mut(), estimate.as_slice(), |c| c.abs());
                self.0.observe(decay, absolute.as_slice(), estimate);
            }
        }
    }

    /// The average as it stands, without correction; `None` before the first visit.
    pub fn average(&self) -> Option<&Array<T>> {
        self.0.value.as_ref()
    }

    /// 1 − decayⁿ over the block's own visits.
    pub fn correction(&self, decay: f64) -> f64 {
        self.0.correction(decay)
    }

    /// How often the block was visited.
    pub fn visits(&self) -> u64 {
        self.0.count
    }
}
