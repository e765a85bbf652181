//! Carries the runs of a comparison out, each by `sph train` or `sph adapt` in a process of its own: its memory is its own, and what
//! kills it kills no other.

use super::job::RunArgs;
use super::plan::PlannedRun;
use crate::config::{TrainArgs, shown};
use crate::error::{Error, Result};
use crate::model_source::crc32_of;
use clap::CommandFactory;
use serde::{Deserialize, Serialize};
use sph_train::adaptation::AdaptationRecord;
use sph_train::files::{RunFolder, write_atomically};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How runs are carried out.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program `sph`.
    pub program: PathBuf,
    /// The folder that run folders are in.
    pub output: PathBuf,
    /// Runs at a time.
    pub jobs: usize,
    /// Worker threads of each.
    pub threads: usize,
    /// A run that diverged is over: that is remembered, and it is not tried again. So it is with trials, which lose by it.
    pub divergence_ends: bool,
}

/// What is there of a run before it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// All of it.
    Finished,
    /// That it diverged, where this is an end.
    Diverged,
    /// A checkpoint to go on from.
    Cut,
    /// Nothing.
    Nothing,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessExit {
    /// All epochs were trained.
    Finished,
    /// It diverged, where this is an end; how.
    Diverged(String),
    /// It was told to stop, and can be gone on with.
    Interrupted,
    /// It could not begin or go on; the reason.
    Failed(String),
}

/// What is left of a run that diverged, where this is an end. Its own files do not tell that from a run that was cut.
#[derive(Serialize, Deserialize)]
struct Diverged {
    /// Its settings by names.
    settings: serde_json::Value,
    /// Of an adaptation the CRC-32 of its network's file.
    #[serde(default)]
    checkpoint_crc32: Option<u32>,
    /// What its command said.
    reason: String,
}

impl Launch {
    /// The folder of a training.
    pub fn folder(&self, run: &PlannedRun) -> RunFolder {
        RunFolder::at(&self.output.join(&run.name))
    }

    /// The file that an adaptation leaves: what `sph adapt --json` prints.
    pub fn record(&self, run: &PlannedRun) -> PathBuf {
        self.output.join(format!("{}.json", run.name))
    }

    /// Whether a run was carried out to its end.
    pub fn is_finished(&self, run: &PlannedRun) -> bool {
        match run.args {
            RunArgs::Train(_) => self.folder(run).result().exists(),
            RunArgs::Adapt(_) => self.record(run).exists(),
        }
    }

    /// The file that says of a run that it diverged.
    fn divergence(&self, run: &PlannedRun) -> PathBuf {
        self.output.join(format!("{}.diverged.json", run.name))
    }

    /// Whether a run diverged, where this is an end.
    pub fn has_diverged(&self, run: &PlannedRun) -> bool {
        self.divergence_ends && self.divergence(run).exists()
    }

    /// Whether nothing is left to do of a run.
    pub fn is_over(&self, run: &PlannedRun) -> bool {
        self.is_finished(run) || self.has_diverged(run)
    }

    /// What there is of `run`.
    ///
    /// # Errors
    /// When there is a run with other settings.
    pub fn find(&self, run: &PlannedRun) -> Result<RunState> {
        let (there, difference) = match &run.args {
            _ if self.has_diverged(run) => {
                let path = self.divergence(run);
                let text = std::fs::read(&path).map_err(|e| Error::file(&path, e.to_string()))?;
                let there: Diverged = serde_json::from_slice(&text)
                    .map_err(|e| Error::file(&path, format!("{e}; remove it")))?;
                let difference = run.args.difference(&there.settings)?;
                let difference = difference.or_else(|| other_network(run, there.checkpoint_crc32));
                (path, difference)
            }
            RunArgs::Train(args) => {
                let folder = self.folder(run);
                if !folder.is_begun() {
                    return Ok(RunState::Nothing);
                }
                // A finished run needs no checkpoint any more.
                if !folder.args().exists() || !(folder.checkpoint().exists() || folder.result().exists()) {
                    let reason = "holds what is left of a run, without its settings or a checkpoint to go on from; choose \
                                  another `output`, or remove it";
                    let path = folder.path().to_path_buf();
                    return Err(sph_train::Error::Folder { path, reason: reason.into() }.into());
                }
                let path = folder.args();
                let text = std::fs::read_to_string(&path).map_err(|e| Error::file(&path, e.to_string()))?;
                // Through the parser: the file of an older program may lack what has its default here.
                let there = TrainArgs::from_toml(&text, &shown(&path))?;
                (folder.path().to_path_buf(), args.difference(&there)?)
            }
            RunArgs::Adapt(_) => {
                let path = self.record(run);
                if !path.exists() {
                    return Ok(RunState::Nothing);
                }
                let there = AdaptationRecord::read(&path)?;
                let difference = run.args.difference(&there.settings)?;
                (path, difference.or_else(|| other_network(run, there.checkpoint_crc32)))
            }
        };
        if let Some(difference) = difference {
            return Err(Error::OtherSettings { path: there, difference, other: "runs", advice: None });
        }
        Ok(match () {
            () if self.is_finished(run) => RunState::Finished,
            () if self.has_diverged(run) => RunState::Diverged,
            () => RunState::Cut,
        })
    }

    fn start(&self, run: &PlannedRun) -> Result<Child> {
        let mut command = Command::new(&self.program);
        // What lists of processes show.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut command, "sph");
        let stdout = match &run.args {
            RunArgs::Train(args) => {
                // It begins, or goes on where it was.
                let flags = crate::config::flags_of_toml(&args.to_toml()?, &TrainArgs::command(), &run.name)?;
                command.arg("train").args(flags).arg("--runs").arg(&self.output);
                command.arg("--experiment").arg(&run.name).args(["--resume", "auto"]);
                Stdio::null()
            }
            RunArgs::Adapt(args) => {
                command.arg("adapt").args(args.flags()?).arg("--json");
                let part = self.unfinished(run);
                // One that another process still writes to stays that process's.
                let _ = std::fs::remove_file(&part);
                File::create(&part).map_err(|e| Error::write(&part, e))?.into()
            }
        };
        command.arg("--stop-on-eof").arg("--threads").arg(self.threads.to_string());
        let log = self.log(run);
        let log = File::create(&log).map_err(|e| Error::write(&log, e))?;
        // Its stdin ends when this process does, however that happens: then it leaves, a training once it has saved.
        command.stdin(Stdio::piped()).stdout(stdout).stderr(log);
        command.spawn().map_err(|source| Error::Start { program: self.program.display().to_string(), source })
    }

    /// Where an adaptation under way writes to.
    fn unfinished(&self, run: &PlannedRun) -> PathBuf {
        self.output.join(format!("{}.json.part", run.name))
    }

    /// What a run under way, or one that failed, says on stderr.
    fn log(&self, run: &PlannedRun) -> PathBuf {
        self.output.join(format!("{}.log", run.name))
    }

    /// How a run ended whose process did; `stopped` says that it was told to.
    fn end(&self, run: &PlannedRun, status: std::process::ExitStatus, stopped: bool) -> ProcessExit {
        let log = self.log(run);
        let part = self.unfinished(run);
        let adapted = matches!(run.args, RunArgs::Adapt(_));
        match status.code() {
            Some(0) => {
                if adapted && let Err(e) = std::fs::rename(&part, self.record(run)) {
                    return ProcessExit::Failed(format!("{}: {e}", part.display()));
                }
                let _ = std::fs::remove_file(&log);
                ProcessExit::Finished
            }
            code => {
                let _ = adapted.then(|| std::fs::remove_file(&part));
                let unsaid = || format!("{status}; see {}", log.display());
                let said = || last_error(&log).unwrap_or_else(unsaid);
                match code {
                    Some(Error::INTERRUPTED) => ProcessExit::Interrupted,
                    _ if adapted && stopped => ProcessExit::Interrupted,
                    Some(Error::DIVERGED) if self.divergence_ends => self.diverged(run, said()),
                    _ => ProcessExit::Failed(said()),
                }
            }
        }
    }

    /// The end of a run that diverged, said `reason` and left.
    fn diverged(&self, run: &PlannedRun, reason: String) -> ProcessExit {
        let remember = || {
            let path = self.divergence(run);
            let checkpoint_crc32 = match &run.args {
                RunArgs::Train(_) => None,
                RunArgs::Adapt(args) => crc32_of(&args.checkpoint),
            };
            let left = Diverged { settings: run.args.settings()?, checkpoint_crc32, reason: reason.clone() };
            let text = serde_json::to_string_pretty(&left).map_err(|e| Error::write(&path, e.into()))?;
            Ok::<_, Error>(write_atomically(&path, format!("{text}\n").as_bytes())?)
        };
        match remember() {
            Ok(()) => ProcessExit::Diverged(reason),
            Err(e) => ProcessExit::Failed(e.to_string()),
        }
    }
}

/// That a run was made of another network than the one that is there now. One that is gone, and a record from before, tell nothing.
fn other_network(run: &PlannedRun, there: Option<u32>) -> Option<String> {
    let RunArgs::Adapt(args) = &run.args else { return None };
    let (here, there) = crc32_of(&args.checkpoint).zip(there)?;
    (here != there).then(|| format!("{} was another network then", args.checkpoint.display()))
}

impl RunState {
    /// Nothing is left to do.
    pub fn is_over(self) -> bool {
        matches!(self, RunState::Finished | RunState::Diverged)
    }
}

/// The error that a log ends with.
fn last_error(log: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(log).ok()?).into_owned();
    text.lines().rev().find_map(|l| l.strip_prefix("error: ")).map(String::from)
}

/// What a comparison is doing.
pub enum Event<'a> {
    /// The run with this number ended.
    Ended(usize, &'a ProcessExit),
    /// These are under way; told several times a second.
    Running(&'a [usize]),
}

/// Carries out those of `runs` that are not over. When `stop` is set, those under way are told to save and leave.
///
/// # Errors
/// When a process cannot be started, or `watch` fails. What runs is told to save and leave, and awaited.
pub fn carry_out(
    launch: &Launch,
    runs: &[PlannedRun],
    found: &[RunState],
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    let mut waiting = (0..runs.len()).filter(|&i| !found[i].is_over());
    let mut under_way: Vec<(usize, Child)> = Vec::new();
    let mut failed = None;
    loop {
        let stopping = failed.is_some() || stop.load(Ordering::Relaxed);
        while under_way.len() < launch.jobs && !stopping {
            let Some(i) = waiting.next() else { break };
            match launch.start(&runs[i]) {
                Ok(child) => under_way.push((i, child)),
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        if under_way.is_empty() {
            return failed.map_or(Ok(()), Err);
        }
        if stopping {
            under_way.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
        }
        std::thread::sleep(POLL);
        // A Ctrl-C meanwhile went to the runs, too.
        let stopping = stopping || stop.load(Ordering::Relaxed);
        let mut ended = Vec::new();
        under_way.retain_mut(|(i, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                ended.push((*i, launch.end(&runs[*i], status, stopping)));
                false
            }
            Err(e) => {
                ended.push((*i, ProcessExit::Failed(e.to_string())));
                false
            }
        });
        let numbers: Vec<usize> = under_way.iter().map(|(i, _)| *i).collect();
        let mut told = ended.iter().try_for_each(|(i, end)| watch(Event::Ended(*i, end)));
        told = told.and_then(|()| watch(Event::Running(&numbers)));
        failed = failed.or(told.err());
    }
}

const POLL: Duration = Duration::from_millis(100);
