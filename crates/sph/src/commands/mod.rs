//! The commands of `sph`, one file each.

pub mod adapt;
pub mod bench;
pub mod compare;
pub mod data;
pub mod eval;
pub mod export;
pub mod inspect;
pub mod models;
pub mod predict;
pub mod report;
pub mod train;

use crate::error::{self, Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::path::Path;

/// Sets the worker threads: those asked for, or as many as this process may use (container limits count).
fn configure_threads(threads: Option<usize>) -> Result<usize> {
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    sph_tensor::configure_threads(threads)
        .map_err(|e| Error::flag("threads", threads.to_string(), format!("cannot be had: {e}")))?;
    Ok(threads)
}

/// A bar on stderr, on a terminal only.
fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is written here");
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

/// What a user should know, as the end of a line; settings are flags in it.
fn said(text: &str) -> String {
    error::in_one_line(&error::flags(text))
}

/// What was left out, converted or assumed, as a line.
fn noted(note: &str) -> String {
    format!("note: {}", said(note))
}

/// Says on stderr what was left out, converted or assumed.
fn note(notes: &[String]) {
    notes.iter().for_each(|note| drop(writeln!(std::io::stderr(), "{}", noted(note))));
}

/// Says on stderr what is likely not meant.
fn warn(warnings: &[String]) {
    warnings.iter().for_each(|text| drop(writeln!(std::io::stderr(), "warning: {}", said(text))));
}

/// Calls `then` when stdin ends. An error is the same: whoever started this process is gone or wants it to stop.
fn at_eof(then: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        then();
    });
}

/// Writes a line to stdout. A reader that has gone away is no error.
///
/// # Errors
/// When stdout cannot be written to for another reason.
pub fn say(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::write(Path::new("stdout"), e)),
        _ => Ok(()),
    }
}
