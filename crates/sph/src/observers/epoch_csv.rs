//! A CSV file whose rows begin with an epoch.

use crate::checkpoint::write_atomically;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Rewrites the file, whole, whenever rows are added.
pub(super) struct EpochCsv {
    path: PathBuf,
    header: &'static str,
    rows: Vec<String>,
}

impl EpochCsv {
    /// The file at `path`, with those of its rows that belong to the first `epochs` epochs: what a run that goes on has behind it.
    pub(super) fn open(path: &Path, header: &'static str, epochs: usize) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::data(path, e.to_string())),
        };
        let epoch = |row: &str| row.split(',').next().and_then(|n| n.parse::<usize>().ok());
        let behind = |row: &&str| epoch(row).is_some_and(|n| n <= epochs);
        let rows = text.lines().skip(1).filter(behind).map(String::from).collect();
        Ok(EpochCsv { path: path.to_path_buf(), header, rows })
    }

    /// Adds rows; without any the file is not touched.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = String>) -> Result<()> {
        let before = self.rows.len();
        self.rows.extend(rows);
        if self.rows.len() == before {
            return Ok(());
        }
        write_atomically(&self.path, format!("{}\n{}\n", self.header, self.rows.join("\n")).as_bytes())
    }
}

#[test]
fn a_run_that_goes_on_keeps_the_rows_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.csv");
    let row = |epoch: usize, name: &str| format!("{epoch},{name}");
    let mut csv = EpochCsv::open(&path, "epoch,name", 0).unwrap();
    csv.add([]).unwrap();
    assert!(!path.exists());
    (1..=10).for_each(|e| csv.add([row(e, "a"), row(e, "b")]).unwrap());
    let whole = std::fs::read_to_string(&path).unwrap();
    // Killed after the tenth epoch was logged, before it was saved.
    let mut again = EpochCsv::open(&path, "epoch,name", 9).unwrap();
    again.add([row(10, "a"), row(10, "b")]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
}
