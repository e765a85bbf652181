//! The folder of a run.

use super::run_result::RunResult;
use super::write::{TEMPORARY, moment, write_atomically};
use crate::error::{Error, Result};
use jiff::Timestamp;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder that a run leaves behind. While a value made by [`RunFolder::create`] or [`RunFolder::open`] lives, or a clone of it, no other
/// process trains the run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    /// Nobody gave it its name: where another run is faster, it takes the next one after this path.
    unnamed: Option<PathBuf>,
    lock: Option<Arc<File>>,
}

impl RunFolder {
    /// The folder at `path`, whatever is in it, to be looked at.
    pub fn at(path: &Path) -> Self {
        RunFolder { path: path.to_path_buf(), unnamed: None, lock: None }
    }

    /// The folder `output/name` of a run that is to begin; nothing is written yet.
    ///
    /// # Errors
    /// When a run is there already, or a file stands in the way.
    pub fn planned(output: &Path, name: &str) -> Result<Self> {
        let run = RunFolder::at(&output.join(name));
        let refuse = |reason: String| Error::Folder { path: run.path.clone(), reason };
        if run.is_abandoned() {
            let reason = "was begun and stopped before its first checkpoint; begin again with `resume` auto, or remove it";
            return Err(refuse(reason.into()));
        }
        if run.is_begun() {
            return Err(refuse(format!(
                "holds a run already; choose another `experiment`, or go on with it: sph train `resume` {}",
                run.path.display()
            )));
        }
        if let Some(file) = [output, &run.path].into_iter().find(|p| p.is_file()) {
            let reason = "is a file; a run needs a folder".into();
            return Err(Error::Folder { path: file.to_path_buf(), reason });
        }
        Ok(run)
    }

    /// The folder in `output` of a run that nobody named: it is called after the time (UTC), such as `20260131-154502-resnet8-digits`.
    ///
    /// # Errors
    /// As [`RunFolder::planned`].
    pub fn unnamed(output: &Path, model: &str, dataset: &str) -> Result<Self> {
        let unnamed = output.join(default_name(Timestamp::now(), model, dataset));
        let name = free(&unnamed).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(RunFolder { unnamed: Some(unnamed), ..Self::planned(output, &name)? })
    }

    /// The folder `output/name` of a run that is to go on if it is there, and to begin if it is not.
    ///
    /// # Errors
    /// As [`RunFolder::planned`] and [`RunFolder::open`].
    pub fn planned_or_begun(output: &Path, name: &str) -> Result<Self> {
        let mut run = RunFolder::at(&output.join(name));
        if run.checkpoint().is_file() {
            return Self::open(&run.path);
        }
        if run.is_abandoned() {
            run.lock()?;
            run.discard();
        }
        Self::planned(output, name)
    }

    /// There are files of a run, and it is not abandoned.
    pub fn is_begun(&self) -> bool {
        let files = [
            self.args(),
            self.summary(),
            self.curvature(),
            self.last(),
            self.best(),
            self.last_average(),
            self.best_average(),
            self.checkpoint(),
            self.result(),
            self.graph(),
        ];
        files.iter().any(|f| f.exists()) && !self.is_abandoned()
    }

    /// It was stopped before its first checkpoint: nothing was trained.
    fn is_abandoned(&self) -> bool {
        let trained = [self.checkpoint(), self.last(), self.summary()];
        self.args().exists() && trained.iter().all(|f| !f.exists())
    }

    /// The folder of an existing run, to go on with.
    ///
    /// # Errors
    /// When there is no checkpoint in it, or another process trains it.
    pub fn open(path: &Path) -> Result<Self> {
        // The checkpoint itself is as good a name.
        let is_checkpoint = path.is_file() && path.file_name().is_some_and(|n| n == "last.ckpt");
        let mut run = RunFolder::at(if is_checkpoint { path.parent().unwrap_or(path) } else { path });
        if !run.checkpoint().is_file() {
            let reason = "no such checkpoint; `resume` takes the folder of a run";
            return Err(Error::checkpoint(&run.checkpoint(), reason));
        }
        run.lock()?;
        Ok(run)
    }

    /// Makes the folder and puts the settings in it. Leaves nothing when it fails.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn create(&mut self, args: &str) -> Result<()> {
        std::fs::create_dir_all(&self.path).map_err(|e| Error::write(&self.path, e))?;
        moment();
        // Two runs that begin at once: the second one finds the file there.
        match File::create_new(self.args()) {
            Ok(_) => (),
            Err(e) => match &self.unnamed {
                Some(name) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    self.path = free(name);
                    return self.create(args);
                }
                _ => return Err(Error::write(&self.args(), e)),
            },
        }
        moment();
        write_atomically(&self.args(), args.as_bytes()).inspect_err(|_| self.discard())?;
        self.lock()
    }

    /// Puts other settings in the place of those in the folder.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn rewrite(&mut self, args: &str) -> Result<()> {
        write_atomically(&self.args(), args.as_bytes())?;
        // It is another file now.
        self.lock()
    }

    /// Takes back what [`RunFolder::create`] made, for a run that could not begin.
    pub fn discard(&self) {
        self.remove_temporary();
        let _ = std::fs::remove_file(self.graph());
        let _ = std::fs::remove_file(self.args());
        // Only if nothing else is in it.
        let _ = std::fs::remove_dir(&self.path);
    }

    /// Removes what a killed process was writing.
    fn remove_temporary(&self) {
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Keeps other processes from training this run, and removes what a killed one was writing.
    fn lock(&mut self) -> Result<()> {
        // A folder whose settings were taken away, and a file system without locks, are not locked.
        if let Ok(file) = File::open(self.args()) {
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                let reason = "is being trained by another process; wait for its end".into();
                return Err(Error::Folder { path: self.path.clone(), reason });
            }
            self.lock = Some(Arc::new(file));
        }
        self.remove_temporary();
        Ok(())
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

    /// Takes back that the run ended: it goes on.
    pub fn unfinish(&self) {
        let _ = std::fs::remove_file(self.result());
    }

    /// How the run ended; `None` before its end.
    ///
    /// # Errors
    /// When the file is not what `sph train` writes.
    pub fn read_result(&self) -> Result<Option<RunResult>> {
        let path = self.result();
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| Error::file(&path, e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file(&path, e.to_string())),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Settings.
    pub fn args(&self) -> PathBuf {
        self.path.join("args.toml")
    }

    /// One row per epoch.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.csv")
    }

    /// One row per second-order block and epoch.
    pub fn curvature(&self) -> PathBuf {
        self.path.join("curvature.csv")
    }

    /// How it ended; there when it has.
    pub fn result(&self) -> PathBuf {
        self.path.join("result.json")
    }

    /// Curves, mistakes and settings as a page.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Model state after the last epoch.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The file with the network's graph, where it is no model of this program.
    pub fn graph(&self) -> PathBuf {
        self.path.join("model.pt2")
    }

    /// Model state after the best epoch.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The average of weights after the last epoch.
    pub fn last_average(&self) -> PathBuf {
        self.path.join("last-ema.safetensors")
    }

    /// The average of weights after its best epoch.
    pub fn best_average(&self) -> PathBuf {
        self.path.join("best-ema.safetensors")
    }

    /// Everything to go on.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("last.ckpt")
    }
}

/// The name of a run that is begun at this time.
fn default_name(begun: Timestamp, model: &str, dataset: &str) -> String {
    format!("{}-{model}-{dataset}", begun.strftime("%Y%m%d-%H%M%S"))
}

/// The path, or the first of those with -2, -3 … behind it at which nothing is.
fn free(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut all =
        std::iter::once(path.to_path_buf()).chain((2..).map(|n| path.with_file_name(format!("{name}-{n}"))));
    all.find(|p| !p.exists()).unwrap_or_else(|| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_nobody_named_takes_the_next_name_where_another_was_faster() {
        let dir = tempfile::tempdir().unwrap();
        let begun = || RunFolder::unnamed(dir.path(), "mlp", "digits").unwrap();
        let (mut one, mut other) = (begun(), begun());
        // They began in the same second.
        other.path = one.path.clone();
        one.create("epochs = 1").unwrap();
        other.create("epochs = 2").unwrap();
        assert_eq!(
            other.path,
            dir.path().join(format!("{}-2", one.path.file_name().unwrap().to_string_lossy()))
        );
        assert_eq!(std::fs::read_to_string(one.args()).unwrap(), "epochs = 1");
    }

    #[test]
    fn names_begin_with_the_time() {
        let at = |second| default_name(Timestamp::from_second(second).unwrap(), "mlp", "digits");
        assert_eq!(at(0), "19700101-000000-mlp-digits");
        assert_eq!(at(951_825_600 + 3_723), "20000229-130203-mlp-digits");
    }
}
