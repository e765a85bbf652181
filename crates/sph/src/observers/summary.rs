//! `summary.csv`: one row per epoch.

use super::{EpochEvent, Observer};
use crate::checkpoint::write_atomically;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

const HEADER: &str = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,test_loss,test_accuracy,step_ms,images_per_s,curvature_overhead,seconds";

/// Rewrites the file, whole, at every epoch.
pub struct Summary {
    path: PathBuf,
    rows: Vec<String>,
}

impl Summary {
    /// A summary at `path` that keeps the rows of the first `epochs` epochs of the file there: what a run that goes on has
    /// behind it.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn new(path: &Path, epochs: usize) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::data(path, e.to_string())),
        };
        let rows = text.lines().skip(1).take(epochs).map(String::from).collect();
        Ok(Summary { path: path.to_path_buf(), rows })
    }
}

impl Observer for Summary {
    fn epoch(&mut self, e: &EpochEvent) -> Result<()> {
        let optional = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        let fields = [
            (e.epoch + 1).to_string(),
            e.lr.to_string(),
            e.train_loss.to_string(),
            e.train_accuracy.to_string(),
            optional(e.validation.map(|v| v.0)),
            optional(e.validation.map(|v| v.1)),
            e.test.0.to_string(),
            e.test.1.to_string(),
            e.step_ms.to_string(),
            e.images_per_s.to_string(),
            optional(e.overhead),
            e.seconds.to_string(),
        ];
        self.rows.push(fields.join(","));
        write_atomically(&self.path, format!("{HEADER}\n{}\n", self.rows.join("\n")).as_bytes())
    }
}
