//! The folder of a run.

use crate::checkpoint::{TEMPORARY, write_atomically};
use crate::error::{Error, Result};
use crate::history::RunResult;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The folder that a run leaves behind.
#[derive(Debug, Clone)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The folder `output/name` of a run that is to begin; nothing is written yet.
    ///
    /// # Errors
    /// When a run is there already, or a file stands in the way.
    pub fn planned(output: &Path, name: &str) -> Result<Self> {
        let run = RunDir(output.join(name));
        let files = [
            run.args(),
            run.summary(),
            run.curvature(),
            run.last(),
            run.best(),
            run.checkpoint(),
            run.result(),
        ];
        if files.iter().any(|f| f.exists()) {
            let path = run.0.display();
            return Err(Error::Config(format!(
                "{path} holds a run already; choose another --experiment, or go on with it: sph train --resume {path}"
            )));
        }
        if let Some(file) = [output, &run.0].into_iter().find(|p| p.is_file()) {
            return Err(Error::Config(format!("{} is a file; a run needs a folder", file.display())));
        }
        Ok(run)
    }

    /// Makes the folder, puts the settings in it and locks it as [`RunDir::lock`] does.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn create(&self, args: &str) -> Result<Option<File>> {
        std::fs::create_dir_all(&self.0).map_err(|e| Error::write(&self.0, e))?;
        // Two runs that begin at once: the second one finds the file there.
        File::create_new(self.args()).map_err(|e| Error::write(&self.args(), e))?;
        write_atomically(&self.args(), args.as_bytes())?;
        self.lock()
    }

    /// Takes back what [`RunDir::create`] made, for a run that could not begin.
    pub fn discard(&self) {
        self.remove_temporaries();
        let _ = std::fs::remove_file(self.args());
        // Only if nothing else is in it.
        let _ = std::fs::remove_dir(&self.0);
    }

    /// The folder of an existing run.
    ///
    /// # Errors
    /// When there is no checkpoint in it.
    pub fn open(path: &Path) -> Result<Self> {
        // The checkpoint itself is as good a name.
        let is_checkpoint = path.is_file() && path.file_name().is_some_and(|n| n == "last.ckpt");
        let run = RunDir(if is_checkpoint { path.parent().unwrap_or(path) } else { path }.to_path_buf());
        if !run.checkpoint().is_file() {
            let reason = "no such checkpoint; --resume takes the folder of a run";
            return Err(Error::checkpoint(&run.checkpoint(), reason));
        }
        Ok(run)
    }

    /// The folder at `path`, whatever is in it.
    pub fn at(path: &Path) -> Self {
        RunDir(path.to_path_buf())
    }

    /// What a killed process was writing.
    fn remove_temporaries(&self) {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Keeps other processes from training this run while what is returned lives, and removes what a killed one was writing.
    ///
    /// # Errors
    /// When another process trains it.
    pub fn lock(&self) -> Result<Option<File>> {
        // A folder whose settings were taken away, and a file system without locks, are not locked.
        let Ok(file) = File::open(self.args()) else { return Ok(None) };
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let run = self.0.display();
            return Err(Error::Config(format!(
                "{run} is being trained by another process; wait for its end"
            )));
        }
        self.remove_temporaries();
        Ok(Some(file))
    }

    /// Writes how the run ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_result(&self, result: &RunResult) -> Result<()> {
        let text =
            serde_json::to_string_pretty(result).map_err(|e| Error::write(&self.result(), e.into()))?;
        write_atomically(&self.result(), format!("{text}\n").as_bytes())
    }

    /// How the run ended; `None` before its end.
    ///
    /// # Errors
    /// When the file is not what `sph train` writes.
    pub fn read_result(&self) -> Result<Option<RunResult>> {
        let path = self.result();
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| Error::data(&path, e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::data(&path, e.to_string())),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Settings.
    pub fn args(&self) -> PathBuf {
        self.0.join("args.toml")
    }

    /// One row per epoch.
    pub fn summary(&self) -> PathBuf {
        self.0.join("summary.csv")
    }

    /// One row per second-order block and epoch.
    pub fn curvature(&self) -> PathBuf {
        self.0.join("curvature.csv")
    }

    /// How it ended; there when it has.
    pub fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// Curves, mistakes and settings as a page.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// Model state after the last epoch.
    pub fn last(&self) -> PathBuf {
        self.0.join("last.safetensors")
    }

    /// Model state after the best epoch.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// Everything to go on.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("last.ckpt")
    }
}

/// A name that is free in `output` for a run started now (UTC), such as `20260131-154502-resnet8-digits`.
pub fn default_name(output: &Path, model: &str, dataset: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, secs) = (now / 86_400, now % 86_400);
    let (y, m, d) = civil_from_days(days as i64);
    let (h, min, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    let name = format!("{y:04}{m:02}{d:02}-{h:02}{min:02}{s:02}-{model}-{dataset}");
    let mut names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    names.find(|n| !output.join(n).exists()).unwrap_or(name)
}

/// Days since 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(20_513), (2026, 3, 1));
    }
}
