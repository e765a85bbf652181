//! A data set, and what is said of how it was read.

use crate::error::{Result, escaped};
use sph_data::{DataOptions, Dataset};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

/// The data set called `name`; on stderr, what a user should know of it.
///
/// # Errors
/// As [`sph_data::load`].
pub fn load(name: &str, options: &DataOptions) -> Result<Dataset> {
    let data = sph_data::load(name, options)?;
    note(&data.notes);
    Ok(data)
}

/// Says on stderr what was left out, converted or assumed, a line each; what was said already is not said again, since commands read a data set
/// a second time for their reports.
pub(crate) fn note(notes: &[String]) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(|e| e.into_inner());
    for note in notes {
        if said.insert(note.clone()) {
            let _ = writeln!(std::io::stderr(), "note: {}", escaped(note));
        }
    }
}
