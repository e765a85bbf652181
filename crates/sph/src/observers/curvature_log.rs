//! `curvature.csv`: a row per second-order block and epoch, with what the optimizer knows of its curvature.

use super::{CurvatureEvent, Observer};
use crate::checkpoint::write_atomically;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

const HEADER: &str = "epoch,step,block,visits,trace,min,max,fraction_negative,multiplier_min,multiplier_q25,multiplier_median,multiplier_q75,multiplier_max";

/// Rewrites the file, whole, at every epoch; an optimizer without blocks leaves none.
pub struct CurvatureLog {
    path: PathBuf,
    rows: Vec<String>,
}

impl CurvatureLog {
    /// A log at `path` that keeps the rows of the first `epochs` epochs of the file there: what a run that goes on has behind it.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn new(path: &Path, epochs: usize) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::data(path, e.to_string())),
        };
        let behind = |row: &&str| {
            row.split(',').next().and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n <= epochs)
        };
        let rows = text.lines().skip(1).filter(behind).map(String::from).collect();
        Ok(CurvatureLog { path: path.to_path_buf(), rows })
    }
}

impl Observer for CurvatureLog {
    fn curvature(&mut self, e: &CurvatureEvent<'_>) -> Result<()> {
        if e.blocks.is_empty() {
            return Ok(());
        }
        for b in e.blocks {
            let numbers = [b.trace, b.min, b.max, b.negative].into_iter().chain(b.multipliers);
            let numbers: Vec<String> = numbers.map(|v| v.to_string()).collect();
            let row = format!("{},{},{},{},{}", e.epoch + 1, e.step, b.block, b.visits, numbers.join(","));
            self.rows.push(row);
        }
        write_atomically(&self.path, format!("{HEADER}\n{}\n", self.rows.join("\n")).as_bytes())
    }
}
