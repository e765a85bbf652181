//! The trials of a comparison: its tuning rule carried out, and what is chosen by them.

use super::job::RunArgs;
use super::plan::{self, Plan, PlannedRun};
use super::processes::Launch;
use super::round::{Round, RoundObserver, RoundResult};
use crate::error::{Error, PlanError, Result};
use crate::finished_run;
use sph_train::adaptation::AdaptationRecord;
use sph_train::compare::{self, BudgetFit, Configuration, Cost, Search, TrialResult, Trials, Tuned, Tuning};
use std::sync::atomic::AtomicBool;

/// Carries the trials out that are not finished: all of them, or those that the budget leaves; `write` follows each end. `Err`: some are
/// not over, so that nothing is chosen yet.
///
/// # Errors
/// For the user's mistakes, before anything is run; when not even one trial fits into the budget; those of a round.
pub fn carry_out(
    plan: &Plan,
    tuning: &Tuning,
    launch: &Launch,
    stop: &AtomicBool,
    watch: &mut dyn RoundObserver,
    write: &dyn Fn(&Trials) -> Result<()>,
) -> Result<std::result::Result<Trials, RoundResult>> {
    let searches = plan.searches(tuning)?;
    if searches.iter().all(|s| s.space.is_empty()) {
        return Err(PlanError::NothingToTry.into());
    }
    // What is wrong with the runs is found out before the trials.
    let firsts: Vec<Configuration> = searches.iter().map(|s| s.trials[0].clone()).collect();
    let runs = plan::runs(&firsts, &plan.seeds)?;
    let trials = UnderWay::new(tuning, searches, launch)?;
    let mut fit = None;
    let mut kept = tuning.trials;
    if let Some(budget) = tuning.budget_cpu_hours {
        // The first ones tell what the others cost; where all of them diverged, the next ones do.
        for first in 1..=tuning.trials {
            if let Some(left) = trials.carry_out("first trial", first, None, stop, watch, write)? {
                return Ok(Err(left));
            }
            let costs = trials.costs(&runs, first)?;
            if costs.iter().any(|c| c.trial.is_some()) {
                let left = compare::fit_budget(budget, &trials.searches, &costs, plan.seeds.len(), first)?;
                (fit, kept) = (Some(left), left.trials);
                break;
            }
        }
    }
    if let Some(left) = trials.carry_out("trial", kept, fit, stop, watch, write)? {
        return Ok(Err(left));
    }
    let trials = trials.so_far(kept, fit)?;
    write(&trials)?;
    Ok(Ok(trials))
}

/// Trials that are being carried out.
struct UnderWay<'a> {
    tuning: &'a Tuning,
    searches: Vec<Search>,
    /// Search and number of each trial. The first trials of all, then the second ones: whenever it is cut, all have as many.
    numbers: Vec<(usize, usize)>,
    /// Their runs.
    runs: Vec<PlannedRun>,
    launch: Launch,
}

impl<'a> UnderWay<'a> {
    fn new(tuning: &'a Tuning, searches: Vec<Search>, launch: &Launch) -> Result<Self> {
        let mut numbers: Vec<(usize, usize)> = Vec::new();
        for trial in 0..tuning.trials {
            let has = |&s: &usize| trial < searches[s].trials.len();
            numbers.extend((0..searches.len()).filter(has).map(|s| (s, trial)));
        }
        let trials: Vec<Configuration> =
            numbers.iter().map(|&(s, trial)| Search::settings(&searches[s].trials[trial], tuning)).collect();
        let runs = plan::runs(&trials, &[tuning.seed])?;
        let output = launch.output.join("trials");
        let launch = Launch { output, divergence_ends: true, ..launch.clone() };
        Ok(UnderWay { tuning, searches, numbers, runs, launch })
    }

    /// Carries the first `kept` trials of each search out. `Some`: not all are over.
    fn carry_out(
        &self,
        kind: &str,
        kept: usize,
        fit: Option<BudgetFit>,
        stop: &AtomicBool,
        watch: &mut dyn RoundObserver,
        write: &dyn Fn(&Trials) -> Result<()>,
    ) -> Result<Option<RoundResult>> {
        let number = self.numbers.iter().take_while(|n| n.1 < kept).count();
        let round = Round::new(kind, &self.launch, &self.runs[..number])?;
        let carried = round.carry_out(stop, watch, &mut || write(&self.so_far(kept, fit)?))?;
        Ok((!carried.is_whole()).then_some(carried))
    }

    /// How the first `kept` trials of each search ended.
    fn so_far(&self, kept: usize, fit: Option<BudgetFit>) -> Result<Trials> {
        let mut tuned: Vec<Tuned> =
            self.searches.iter().map(|s| Tuned { search: s.clone(), results: Vec::new() }).collect();
        for (i, &(search, _)) in self.numbers.iter().enumerate().filter(|(_, n)| n.1 < kept) {
            tuned[search].results.push(result(&self.launch, &self.runs[i])?);
        }
        Ok(Trials { tuning: self.tuning.clone(), fit, tuned })
    }

    /// What each search costs by the first of its first `kept` trials that did not diverge; `runs` begin with one of each that is tried
    /// first.
    fn costs(&self, runs: &[PlannedRun], kept: usize) -> Result<Vec<Cost>> {
        let cost = |(i, tuned): (usize, Tuned)| {
            let finished = tuned.results.into_iter().find(|o| matches!(o, TrialResult::Finished { .. }));
            let trial = match finished.unwrap_or(TrialResult::Diverged) {
                TrialResult::Finished { cpu_seconds: None, .. } => {
                    return Err(PlanError::NoCpuTime.into());
                }
                TrialResult::Finished { cpu_seconds, .. } => cpu_seconds,
                _ => None,
            };
            Ok(Cost { trial, longer: runs[i].args.longer_than(&self.runs[i].args) })
        };
        self.so_far(kept, None)?.tuned.into_iter().enumerate().map(cost).collect()
    }
}

/// How a trial ended, if it did.
fn result(launch: &Launch, run: &PlannedRun) -> Result<TrialResult> {
    if launch.has_diverged(run) {
        return Ok(TrialResult::Diverged);
    }
    if !launch.is_finished(run) {
        return Ok(TrialResult::Waiting);
    }
    Ok(match &run.args {
        RunArgs::Train(_) => {
            let history = finished_run::read(launch.folder(run))?.0;
            let path = history.run.summary();
            let last = history.epochs.last().and_then(|e| e.validation).ok_or_else(|| {
                Error::file(&path, "no loss on held-out images in its last row; remove the trial's folder")
            })?;
            let cpu_seconds = history.result.and_then(|r| r.cpu_seconds);
            TrialResult::Finished { held_out: last, cpu_seconds }
        }
        RunArgs::Adapt(_) => {
            let adapted = AdaptationRecord::read(&launch.record(run))?;
            let (loss, accuracy) = adapted.end().map_or((f64::NAN, 0.0), |m| (m.loss, m.accuracy));
            TrialResult::Finished { held_out: (loss, accuracy).into(), cpu_seconds: adapted.cpu_seconds }
        }
    })
}
