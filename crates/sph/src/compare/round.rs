//! A round of a comparison: runs that are carried out together, be they trials or those that are compared. What cannot begin is found out
//! before the first of them does.

use super::job::RunArgs;
use super::plan::PlannedRun;
use super::processes::{self, Event, Launch, ProcessExit, RunState};
use crate::adaptation_setup::AdaptationSetup;
use crate::error::{Error, PlanError, Result};
use crate::training_setup::begin;
use sph_train::TrainingOverlap;
use sph_train::adaptation::EvalOn;
use std::sync::atomic::AtomicBool;

/// Runs that are carried out together.
pub struct Round<'a> {
    /// What one of them is called, such as `run` or `trial`.
    pub kind: &'a str,
    /// How they are carried out.
    pub launch: &'a Launch,
    /// The runs, with those that are finished.
    pub runs: &'a [PlannedRun],
    /// What there is of each before the round.
    pub found: Vec<RunState>,
    /// What a user should know of them, a line each.
    pub notes: Vec<String>,
}

/// Who is told how rounds go on.
pub trait RoundObserver {
    /// A round begins.
    fn begins(&mut self, round: &Round<'_>);

    /// Something happened to its runs.
    ///
    /// # Errors
    /// When what a run left cannot be read: the round ends.
    fn event(&mut self, round: &Round<'_>, event: &Event<'_>) -> Result<()>;

    /// It is over; not called when it ends with an error.
    fn ends(&mut self);
}

/// A run that failed.
#[derive(Debug, Clone)]
pub struct FailedRun {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What came of a round.
#[derive(Debug, Clone)]
pub struct RoundResult {
    /// The runs that failed.
    pub failed: Vec<FailedRun>,
    /// How many are not over and did not fail.
    pub unfinished: usize,
}

impl RoundResult {
    /// All runs are over.
    pub fn is_whole(&self) -> bool {
        self.failed.is_empty() && self.unfinished == 0
    }
}

impl<'a> Round<'a> {
    /// The round of these runs.
    ///
    /// # Errors
    /// When there are runs with other settings, or data, models and settings do not fit each other.
    pub fn new(kind: &'a str, launch: &'a Launch, runs: &'a [PlannedRun]) -> Result<Self> {
        let found = runs.iter().map(|r| launch.find(r)).collect::<Result<Vec<RunState>>>()?;
        let mut round = Round { kind, launch, runs, found, notes: Vec::new() };
        round.check()?;
        Ok(round)
    }

    /// One run of each configuration that is to begin shows whether all of them can.
    fn check(&mut self) -> Result<()> {
        let mut checked = Vec::new();
        let mut notes = Vec::new();
        for (run, found) in self.runs.iter().zip(&self.found) {
            if *found == RunState::Nothing && !checked.contains(&run.configuration) {
                checked.push(run.configuration);
                let fits = match &run.args {
                    RunArgs::Train(args) => begin::<f32>(args, self.launch.folder(run)).map(|(_, said)| {
                        notes.extend(said.notes);
                        notes.extend(said.warnings);
                    }),
                    RunArgs::Adapt(args) => AdaptationSetup::new(args).and_then(|setup| {
                        notes.extend(setup.notes);
                        // A file of another program has no run's folder; what is known of it, a note says.
                        let untold =
                            setup.network.overlap == TrainingOverlap::Unknown && setup.network.is_ours;
                        match args.eval_on == EvalOn::Validation && untold {
                            true => {
                                Err(PlanError::UnknownTraining(args.checkpoint.display().to_string()).into())
                            }
                            false => Ok(()),
                        }
                    }),
                };
                fits.map_err(|e| Error::Run { run: run.name.clone(), source: Box::new(e) })?;
            }
        }
        notes.sort();
        notes.dedup();
        self.notes = notes;
        Ok(())
    }

    /// Carries those runs out that are not over; `written` follows each end. Of a round without runs nobody is told. When `stop` is set, those under way are told to save
    /// and leave.
    ///
    /// # Errors
    /// When the folder cannot be made or a process cannot be started; those of `watch` and `written`.
    pub fn carry_out(
        &self,
        stop: &AtomicBool,
        watch: &mut dyn RoundObserver,
        written: &mut dyn FnMut() -> Result<()>,
    ) -> Result<RoundResult> {
        let Round { launch, runs, found, .. } = self;
        std::fs::create_dir_all(&launch.output).map_err(|e| Error::write(&launch.output, e))?;
        if runs.is_empty() {
            return Ok(RoundResult { failed: Vec::new(), unfinished: 0 });
        }
        watch.begins(self);
        let mut failed = Vec::new();
        processes::carry_out(launch, runs, found, stop, &mut |event| {
            watch.event(self, &event)?;
            if let Event::Ended(number, end) = event {
                if let ProcessExit::Failed(reason) = end {
                    let name = runs[number].name.clone();
                    failed.push(FailedRun { name, reason: reason.clone() });
                }
                written()?;
            }
            Ok(())
        })?;
        watch.ends();
        let waits = |r: &&PlannedRun| !launch.is_over(r) && !failed.iter().any(|f| f.name == r.name);
        Ok(RoundResult { unfinished: runs.iter().filter(waits).count(), failed })
    }
}
