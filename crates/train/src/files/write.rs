//! Writing files whole or not at all: to a temporary file in the same folder, which is synced and renamed.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How names of files that are being written begin.
pub(crate) const TEMPORARY: &str = ".sph-";

/// Replaces the file at `path` by `bytes`, whole or not at all.
///
/// # Errors
/// When the folder cannot be written to; the file is as it was then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let (target, mut file) = temporary(path)?;
    // The temporary file's name in the system's message would only confuse.
    let error = |e: std::io::Error| Error::write(path, e.kind().into());
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    moment();
    file.write_all(first).map_err(error)?;
    moment();
    file.write_all(rest).map_err(error)?;
    moment();
    file.as_file().sync_all().map_err(error)?;
    moment();
    file.persist(&target).map_err(|e| error(e.error))?;
    moment();
    // The rename itself; where folders cannot be synced the file is still whole.
    if let Ok(dir) = std::fs::File::open(folder(&target)) {
        let _ = dir.sync_all();
    }
    moment();
    Ok(())
}

/// Stands between two steps of writing: a test ends the process there.
#[cfg(not(test))]
pub(crate) fn moment() {}

#[cfg(test)]
pub(crate) use killing::{MOMENTS, moment};

/// Finds out whether [`write_atomically`] could write to `path` now, before a long computation. Leaves nothing.
///
/// # Errors
/// When it could not.
pub fn check_writable(path: &Path) -> Result<()> {
    temporary(path).map(|_| ())
}

/// [`check_writable`] of several outputs of one command, which must be several files.
///
/// # Errors
/// When one could not be written, or two are the same, however they are spelled.
pub fn check_outputs<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<()> {
    let mut places: Vec<PathBuf> = Vec::new();
    for path in paths {
        check_writable(path)?;
        let folder = folder(path).canonicalize().unwrap_or(folder(path).to_path_buf());
        let place = path.canonicalize().unwrap_or(folder.join(path.file_name().unwrap_or_default()));
        if places.contains(&place) {
            return Err(Error::SameOutput { path: path.clone() });
        }
        places.push(place);
    }
    Ok(())
}

/// The file that `path` leads to, and a temporary one beside it.
fn temporary(path: &Path) -> Result<(PathBuf, NamedTempFile)> {
    // A link is followed; what is not a file is left alone.
    let target = path.canonicalize().unwrap_or(path.to_path_buf());
    if target.exists() && !target.is_file() {
        let reason = "there is something that is not a file";
        return Err(Error::write(&target, std::io::Error::new(std::io::ErrorKind::AlreadyExists, reason)));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // As files are usually made: readable by whom the user's umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder(&target)).map_err(|e| Error::write(path, e.kind().into()))?;
    Ok((target, file))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod killing {
    use std::process::Command;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The moments of this process so far.
    pub(crate) static MOMENTS: AtomicUsize = AtomicUsize::new(0);

    /// Kills the process at the moment whose number the environment says.
    pub(crate) fn moment() {
        let number = MOMENTS.fetch_add(1, Ordering::Relaxed);
        if std::env::var("SPH_TEST_KILL_AT").is_ok_and(|at| at == number.to_string()) {
            let _ = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
            loop {
                std::thread::park();
            }
        }
    }
}
