//! `sph compare`: several optimizers on the same models, data and seeds. What it prints and writes; all else is in [`crate::compare`].

use crate::compare::corruptions;
use crate::compare::finished::finished;
use crate::compare::flags::{CompareArgs, Resolved};
use crate::compare::job::RunArgs;
use crate::compare::plan::{self, PlannedRun};
use crate::compare::processes::{Event, Launch, ProcessExit};
use crate::compare::round::{Round, RoundObserver, RoundResult};
use crate::compare::trials;
use crate::error::{Error, Result};
use crate::finished_run;
use indicatif::ProgressBar;
use sph_report::compare::{self as report, Provenance};
use sph_report::corruption::Sheet;
use sph_report::trials as trials_report;
use sph_train::Score;
use sph_train::adaptation::AdaptationRecord;
use sph_train::compare::{Job, Lock, Results, Trials};
use sph_train::files::write_atomically;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How a comparison ended, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareExit {
    /// All runs are finished.
    Finished,
    /// Some run failed; the others are finished.
    SomeFailed,
    /// Stopped early by the user; resumable.
    Interrupted,
}

/// Carries out what is not finished, prints the table and writes the files.
///
/// # Errors
/// For the user's mistakes, before anything is run; when files cannot be written.
pub fn run(args: &CompareArgs, stop: &AtomicBool) -> Result<CompareExit> {
    let Resolved { plan, baseline, jobs, threads, output, file } = args.resolve()?;
    let shared = (jobs > 1)
        .then(|| format!("times are of {jobs} runs at a time on this machine; --jobs 1 measures each alone"));
    let made = Provenance { command: args.command(), file, jobs, threads, shared };
    let _lock = Lock::new(&output)?;
    let program = this_program()?;
    let launch = Launch { program, output, jobs, threads, divergence_ends: false };
    let mut console = Console::new();
    let (configurations, trials) = match &plan.tuning {
        None => (plan.configurations()?, None),
        Some(tuning) => {
            let write = |trials: &Trials| write_trials(&launch.output, trials);
            let trials = match trials::carry_out(&plan, tuning, &launch, stop, &mut console, &write)? {
                Ok(trials) => trials,
                Err(carried) => return Ok(tell(&carried, stop)),
            };
            (trials.choice(), Some(trials))
        }
    };
    let runs = plan::runs(&configurations, &plan.seeds)?;
    let results = || {
        let finished = finished(&launch, &runs, trials.is_some())?;
        Ok::<_, Error>(Results::new(
            configurations.clone(),
            finished,
            baseline,
            plan.seeds.len(),
            trials.clone(),
        ))
    };
    let round = Round::new("run", &launch, &runs)?;
    // Once, and before anything is measured.
    let sheets = corruptions::sheets(&runs);
    let write = |results: &Results| write_files(&launch.output, results, &sheets, &made);
    let carried = round.carry_out(stop, &mut console, &mut || write(&results()?))?;
    let results = results()?;
    write(&results)?;
    super::say(report::table(&results, &made).trim_end())?;
    let undecided = trials.as_ref().map_or(Vec::new(), trials_report::nothing_chosen);
    let decided = undecided.is_empty();
    undecided.into_iter().for_each(stderr);
    let all = tell(&carried, stop);
    Ok(if all == CompareExit::Finished && !decided { CompareExit::SomeFailed } else { all })
}

/// This program, as it was when it was started, where the system says so: a comparison of days outlives builds.
fn this_program() -> Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() {
        return Ok(own);
    }
    std::env::current_exe().map_err(|source| Error::Start { program: "sph".into(), source })
}

fn stderr(line: String) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says what failed and what is left.
fn tell(carried: &RoundResult, stop: &AtomicBool) -> CompareExit {
    for f in &carried.failed {
        stderr(format!("failed: {}: {}", f.name, f.reason));
    }
    let n = carried.unfinished;
    let are = if n == 1 { "1 run is".to_string() } else { format!("{n} runs are") };
    if n > 0 {
        stderr(format!("interrupted, {are} not finished; the same command goes on with them"));
        if stop.load(Ordering::Relaxed) {
            return CompareExit::Interrupted;
        }
    }
    if carried.is_whole() { CompareExit::Finished } else { CompareExit::SomeFailed }
}

fn write_trials(output: &Path, trials: &Trials) -> Result<()> {
    Ok(write_atomically(&output.join("trials.csv"), trials_report::csv(trials).as_bytes())?)
}

fn write_files(
    output: &Path,
    results: &Results,
    sheets: &[std::result::Result<Sheet, String>],
    made: &Provenance,
) -> Result<()> {
    let write = |name: &str, text: String| write_atomically(&output.join(name), text.as_bytes());
    write("table.txt", report::table(results, made))?;
    write("runs.csv", report::runs_csv(results))?;
    write("configurations.csv", report::configurations_csv(results))?;
    let page = report::page(results, sheets, made)?;
    Ok(write("report.html", page)?)
}

/// A line per run on stderr, and below it a bar over the epochs, or steps, of all of them.
struct Console {
    bar: ProgressBar,
    /// Epochs or steps that the round's runs have behind them.
    behind: Vec<u64>,
    /// What users were told already.
    said: BTreeSet<String>,
}

impl Console {
    fn new() -> Self {
        Console { bar: ProgressBar::hidden(), behind: Vec::new(), said: BTreeSet::new() }
    }

    fn line(&self, text: String) {
        self.bar.suspend(|| stderr(text));
    }
}

impl RoundObserver for Console {
    fn begins(&mut self, round: &Round<'_>) {
        let Round { kind, launch, runs, found, notes } = round;
        // Rounds have much in common.
        for note in notes.iter().filter(|note| !self.said.contains(*note)) {
            self.line(super::noted(note));
        }
        self.said.extend(notes.iter().cloned());
        let unit = runs.first().map_or(Job::Train, |r| r.args.job()).unit();
        self.bar = super::bar(&format!("{{bar:24}} {{pos}}/{{len}} {unit}s, {{eta}} left  {{msg}}"));
        self.bar.set_length(runs.iter().map(|r| r.args.length() as u64).sum());
        self.behind = runs.iter().map(|r| epochs(launch, r)).collect();
        let finished = found.iter().filter(|f| f.is_over()).count();
        let jobs = if launch.jobs > 1 { format!(", {} at a time", launch.jobs) } else { String::new() };
        let kept =
            if finished > 0 { format!(", {finished} of them finished already") } else { String::new() };
        let (n, s) = (runs.len(), if runs.len() == 1 { "" } else { "s" });
        self.line(format!("{n} {kind}{s}{kept}{jobs}, in {}", launch.output.display()));
        self.bar.set_position(self.behind.iter().sum());
        // Time left is counted from what is done now.
        self.bar.reset_eta();
    }

    fn event(&mut self, round: &Round<'_>, event: &Event<'_>) -> Result<()> {
        let Round { launch, runs, .. } = round;
        match *event {
            Event::Running(numbers) => {
                numbers.iter().for_each(|&i| self.behind[i] = epochs(launch, &runs[i]));
                self.bar.set_position(self.behind.iter().sum());
                let names = numbers.iter().map(|&i| &*runs[i].name);
                self.bar.set_message(names.collect::<Vec<_>>().join(", "));
            }
            Event::Ended(i, end) => {
                self.behind[i] = runs[i].args.length() as u64;
                let text = match end {
                    ProcessExit::Finished => figures(launch, &runs[i])?,
                    ProcessExit::Diverged(reason) => format!("diverged: {reason}"),
                    ProcessExit::Interrupted => "interrupted".into(),
                    ProcessExit::Failed(reason) => format!("failed: {reason}"),
                };
                self.line(format!("{}: {text}", runs[i].name));
            }
        }
        Ok(())
    }

    fn ends(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Epochs or steps that a run has behind it; an adaptation does not tell before its end.
fn epochs(launch: &Launch, run: &PlannedRun) -> u64 {
    match &run.args {
        _ if launch.is_over(run) => return run.args.length() as u64,
        RunArgs::Adapt(_) => return 0,
        RunArgs::Train(_) => (),
    }
    let text = std::fs::read_to_string(launch.folder(run).summary()).unwrap_or_default();
    text.lines().count().saturating_sub(1) as u64
}

/// What is said of a finished run.
fn figures(launch: &Launch, run: &PlannedRun) -> Result<String> {
    let (name, score, seconds) = match &run.args {
        RunArgs::Train(_) => {
            let history = finished_run::read(launch.folder(run))?.0;
            let held_out = history.epochs.last().and_then(|e| e.validation);
            let seconds = history.result.as_ref().map_or(0.0, |r| r.seconds);
            match (held_out, history.result.and_then(|r| r.last())) {
                (Some(score), _) => ("held-out", Some(score), seconds),
                (None, score) => ("final test", score, seconds),
            }
        }
        RunArgs::Adapt(_) => {
            let adapted = AdaptationRecord::read(&launch.record(run))?;
            let last = adapted.evaluations.last();
            let seconds = adapted.step_seconds.iter().sum();
            ("final", last.map(|m| (m.loss, m.accuracy).into()), seconds)
        }
    };
    let spelled = |score: Score| {
        let measure = score.measure();
        format!("{name} {} {}, ", measure.name(), measure.shown(score.value()))
    };
    Ok(format!("{}{seconds:.1} s", score.map_or(String::new(), spelled)))
}
