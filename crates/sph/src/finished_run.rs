//! The folder of a run, read with the settings in it.

use crate::config::{TrainArgs, shown};
use crate::error::{Error, Result};
use sph_train::files::RunFolder;
use sph_train::history::{History, RunSettings};

/// The settings of a run.
///
/// # Errors
/// When there is no run in the folder, or its file of settings is not what `sph train` writes.
pub(crate) fn settings(run: &RunFolder) -> Result<TrainArgs> {
    let path = run.args();
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Error::file(&path, format!("{e}; a run's folder holds its settings under this name")))?;
    TrainArgs::from_toml(&text, &shown(&path))
}

/// What a run left in its folder, and its settings.
///
/// # Errors
/// When there is no run in it, or a file is not what `sph train` writes.
pub(crate) fn read(run: RunFolder) -> Result<(History, TrainArgs)> {
    let args = settings(&run)?;
    let settings = RunSettings {
        model: args.model.model.clone(),
        dataset: args.dataset.clone(),
        optimizer: args.optimizer.opt.clone(),
        lr: args.optimizer.lr()?,
        seed: args.seed,
        epochs: args.epochs,
        text: args.to_toml()?,
    };
    Ok((History::read(run, settings)?, args))
}
