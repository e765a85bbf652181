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

use crate::error::{Error, Result};
use crate::model_source::Found;
use std::io::Write;
use std::path::Path;

/// Sets the worker threads: those asked for, or as many as this process may use (container limits count).
fn configure_threads(threads: Option<usize>) -> Result<usize> {
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    sph_tensor::configure_threads(threads).map_err(|e| Error::Config(format!("--threads {threads}: {e}")))?;
    Ok(threads)
}

/// Says on stderr when the data set's classes are not called what the network's are.
fn warn_of_classes(found: &Found) -> Result<()> {
    let data = found.data()?;
    if found.classes_of_file().is_some_and(|names| !names.starts_with(&data.class_names)) {
        let dataset = &found.info.dataset;
        let line = format!(
            "warning: the classes of {dataset} have other names than the network's; they are compared by number"
        );
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    Ok(())
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
pub(crate) fn say(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::write(Path::new("stdout"), e)),
        _ => Ok(()),
    }
}
