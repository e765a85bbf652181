//! What the runs of a comparison left, read.

use super::job::RunArgs;
use super::plan::PlannedRun;
use super::processes::Launch;
use crate::error::Result;
use crate::finished_run;
use sph_train::adaptation::AdaptationRecord;
use sph_train::compare::FinishedRun;

/// Those of `runs` that are finished; `tuned` says that their settings were chosen by trials.
///
/// # Errors
/// When a run left something else than its command writes.
pub fn finished(launch: &Launch, runs: &[PlannedRun], tuned: bool) -> Result<Vec<FinishedRun>> {
    runs.iter().filter(|r| launch.is_finished(r)).map(|r| read(launch, r, tuned)).collect()
}

fn read(launch: &Launch, run: &PlannedRun, tuned: bool) -> Result<FinishedRun> {
    let (name, configuration) = (run.name.clone(), run.configuration);
    match &run.args {
        RunArgs::Train(_) => {
            let history = finished_run::read(launch.folder(run))?.0;
            Ok(FinishedRun::of_training(name, configuration, history, tuned))
        }
        RunArgs::Adapt(args) => {
            let adapted = AdaptationRecord::read(&launch.record(run))?;
            Ok(FinishedRun::of_adaptation(name, configuration, args.seed, &adapted))
        }
    }
}
