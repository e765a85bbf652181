//! `curvature.csv`: a row per second-order block and epoch, with what the optimizer knows of its curvature.

use super::epoch_csv::EpochCsv;
use super::{CurvatureEvent, Observer};
use crate::error::Result;
use std::path::Path;

const HEADER: [&str; 13] = [
    "epoch",
    "step",
    "block",
    "visits",
    "trace",
    "min",
    "max",
    "fraction_negative",
    "multiplier_min",
    "multiplier_q25",
    "multiplier_median",
    "multiplier_q75",
    "multiplier_max",
];

/// An optimizer without blocks leaves no file.
pub struct CurvatureLog(EpochCsv);

impl CurvatureLog {
    /// A log at `path` that keeps the rows of the first `epochs` epochs of the file there.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn new(path: &Path, epochs: usize) -> Result<Self> {
        EpochCsv::open(path, &HEADER, epochs).map(CurvatureLog)
    }
}

impl Observer for CurvatureLog {
    fn curvature(&mut self, e: &CurvatureEvent<'_>) -> Result<()> {
        self.0.add(e.blocks.iter().map(|b| {
            let numbers = [b.trace, b.min, b.max, b.negative].into_iter().chain(b.quartiles());
            let (epoch, step) = ((e.epoch + 1).to_string(), e.step.to_string());
            let mut row = vec![epoch, step, b.block.to_string(), b.visits.to_string()];
            row.extend(numbers.map(|v| v.to_string()));
            row
        }))
    }
}
