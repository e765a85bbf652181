//! A CSV file whose rows begin with an epoch.

use crate::error::{Error, Result};
use crate::files::{Table, write_atomically};
use std::path::{Path, PathBuf};

/// Rewrites the file, whole, whenever rows are added.
pub(super) struct EpochCsv {
    path: PathBuf,
    table: Table,
}

impl EpochCsv {
    /// The file at `path`, with those of its rows that belong to the first `epochs` epochs: what a run that goes on has behind it.
    pub(super) fn open(path: &Path, header: &[&str], epochs: usize) -> Result<Self> {
        let mut table = Table::read(path)?.unwrap_or_else(|| Table::new(header));
        if !table.has_columns(header) {
            let reason =
                "its columns are not those that this version writes; move it elsewhere to go on without it";
            return Err(Error::file(path, reason));
        }
        table.retain(|row| row.number(header[0]).is_some_and(|n: usize| n <= epochs));
        Ok(EpochCsv { path: path.to_path_buf(), table })
    }

    /// Adds rows; without any the file is not touched.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        rows.for_each(|row| self.table.push(row));
        write_atomically(&self.path, self.table.text().as_bytes())
    }
}

#[test]
fn a_run_that_goes_on_keeps_the_rows_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.csv");
    let row = |epoch: usize, name: &str| vec![epoch.to_string(), name.into()];
    let mut csv = EpochCsv::open(&path, &["epoch", "name"], 0).unwrap();
    csv.add([]).unwrap();
    assert!(!path.exists());
    (1..=10).for_each(|e| csv.add([row(e, "a"), row(e, "b")]).unwrap());
    let whole = std::fs::read_to_string(&path).unwrap();
    // Killed after the tenth epoch was logged, before it was saved.
    let mut again = EpochCsv::open(&path, &["epoch", "name"], 9).unwrap();
    again.add([row(10, "a"), row(10, "b")]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    let e = EpochCsv::open(&path, &["epoch", "title"], 9).err().unwrap().to_string();
    assert!(e.contains("log.csv: its columns"), "{e}");
}
