//! `sph train`.

use crate::config::{TrainArgs, flags_of_toml, for_shell, shell_word, shown};
use crate::error::{Error, Result};
use crate::finished_run;
use crate::training_setup::{Said, begin, resume};
use clap::CommandFactory;
use sph_train::files::{Best, Checkpoint, RunFolder, RunResult};
use sph_train::observers::{Console, CurvatureLog, Observer, Summary, TensorBoard};
use sph_train::training::{Trainer, TrainingResult};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// How a run ended, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainExit {
    /// All epochs were trained.
    Finished,
    /// Stopped early by the user; resumable.
    Interrupted,
}

/// How a run comes under way.
enum Start {
    /// For the first time; what a user should know of it, a line each.
    Begins(Said),
    /// Where it was.
    GoesOn(GoesOn),
}

/// How a run goes on.
struct GoesOn {
    /// Its epochs as they were, and as they are now.
    epochs: (usize, usize),
    /// Its epochs or the place of its data are other ones now.
    changed: bool,
}

/// Trains a new run, or goes on with one.
///
/// # Errors
/// For the user's mistakes and for what goes wrong on the way; files of earlier runs stay as they were.
pub fn run(args: &TrainArgs, stop: &'static AtomicBool) -> Result<TrainExit> {
    super::configure_threads(args.threads)?;
    args.kernels.configure()?;
    if args.stop_on_eof {
        super::at_eof(|| stop.store(true, Ordering::Relaxed));
    }
    let mut console = Console::new(args.json, args.log_interval);
    let resumed = |run: RunFolder| -> Result<(Trainer<f32>, GoesOn)> {
        let checkpoint = Checkpoint::read(&run.checkpoint())?;
        let progress = &checkpoint.progress;
        let own = TrainArgs::from_toml(&progress.args, &shown(&run.checkpoint()))?;
        let settings = own.going_on(args, progress.epoch + usize::from(progress.step > 0))?;
        if args.resumes_by_itself()
            && let Some(difference) = args.difference(&settings)?
        {
            let path = run.path().to_path_buf();
            let advice = Some(format!("go on with its own: sph train --resume {}", path.display()));
            return Err(Error::OtherSettings { path, difference, other: "experiment", advice });
        }
        settings.kernels.configure()?;
        let how =
            GoesOn { epochs: (own.epochs, settings.epochs), changed: own.difference(&settings)?.is_some() };
        Ok((resume::<f32>(&settings, run, &checkpoint)?, how))
    };
    let begun =
        |run: RunFolder| begin::<f32>(args, run).map(|(trainer, said)| (trainer, Start::Begins(said)));
    let goes_on = |run: RunFolder| resumed(run).map(|(trainer, how)| (trainer, Start::GoesOn(how)));
    // Data, model and settings are checked before a folder is made.
    let planned = || match &args.experiment {
        Some(name) => RunFolder::planned(&args.runs, name),
        None => RunFolder::unnamed(&args.runs, &args.model.model, &args.dataset),
    };
    let (mut trainer, start) = match &args.resume {
        Some(_) if args.resumes_by_itself() => {
            // It has a name: that was checked.
            let run =
                RunFolder::planned_or_begun(&args.runs, args.experiment.as_deref().unwrap_or_default())?;
            if run.checkpoint().is_file() { goes_on(run)? } else { begun(run)? }
        }
        Some(path) => goes_on(RunFolder::open(path)?)?,
        None => begun(planned()?)?,
    };
    if let Start::Begins(_) = start {
        trainer.begin()?;
    }
    let run = trainer.run().clone();
    let path = run.path().display();
    match start {
        Start::Begins(said) => {
            console.line(&format!("{}, --opt {} in {path}", trainer.describe(), args.optimizer.opt));
            super::note(&said.notes);
            super::warn(&said.warnings);
        }
        Start::GoesOn(GoesOn { epochs: (before, now), changed }) => {
            let to = match before == now {
                true => String::new(),
                false => format!(
                    ", to {now} epochs instead of {before}: the learning rate follows the schedule of that length from here on"
                ),
            };
            console.line(&format!("going on with {path} after epoch {}{to}", trainer.epochs_done()));
            // A folder that cannot be written to is found out now.
            if changed {
                trainer.keep_settings()?
            } else {
                trainer.save()?
            }
            if trainer.unfinished() {
                // A run under way has no result.
                run.unfinish();
            }
        }
    }
    let mut summary = Summary::new(&run.summary(), trainer.epochs_done())?;
    let mut curvature = CurvatureLog::new(&run.curvature(), trainer.epochs_done())?;
    let before = trainer.epochs_done();
    let events = !args.no_tensorboard && trainer.unfinished();
    let mut events = events.then(|| TensorBoard::new(run.path(), trainer.steps())).transpose()?;
    let mut observers: Vec<&mut dyn Observer> = vec![&mut console, &mut summary, &mut curvature];
    observers.extend(events.as_mut().map(|e| e as &mut dyn Observer));
    let outcome = trainer.train(&mut observers, stop);
    console.finish();
    let outcome = outcome?;
    if outcome.interrupted {
        let (epochs, how) = (outcome.epochs, format!("go on with: sph train --resume {path}"));
        let _ = writeln!(std::io::stderr(), "interrupted after epoch {epochs}, saved; {how}");
        return Ok(TrainExit::Interrupted);
    }
    let result = RunResult::from(&outcome);
    // A run that was finished already keeps the times that were measured then.
    if outcome.epochs > before || run.read_result()?.is_none() {
        run.write_result(&result)?;
    }
    if args.json {
        let mut record = serde_json::to_value(&result).unwrap_or_default();
        record["run"] = serde_json::json!(run.path());
        super::say(&record.to_string())?;
    } else {
        super::say(&last_line(&outcome))?;
    }
    // The run is finished and saved, whatever becomes of its page.
    match super::report::write(&run, &run.report()) {
        Err(e) => {
            let _ =
                writeln!(std::io::stderr(), "warning: there is no report: {e}; sph report {path} makes it");
        }
        Ok(()) if !args.json && std::io::stderr().is_terminal() => {
            // One that goes on has its settings in its folder alone.
            let text = what_next(&run, &finished_run::settings(&run)?)?;
            let _ = writeln!(std::io::stderr(), "{text}");
        }
        Ok(()) => (),
    }
    Ok(TrainExit::Finished)
}

/// Where the run's page is, and what can be done with the run.
///
/// # Errors
/// When its settings have no form as text.
fn what_next(run: &RunFolder, args: &TrainArgs) -> Result<String> {
    let (folder, page) = (shell_word(&shown(run.path())), shell_word(&shown(&run.report())));
    // The same task: what is learned from which data.
    let mut task = vec![format!("--dataset={}", args.dataset)];
    let data = toml::to_string(&args.data).map_err(|e| Error::Unwritable(e.to_string()))?;
    task.extend(flags_of_toml(&data, &TrainArgs::command(), "settings")?);
    task.extend([format!("--model={}", args.model.model), format!("--loss={}", args.loss)]);
    let task = task.iter().map(|flag| format!(" {}", for_shell(flag))).collect::<String>();
    Ok(format!(
        "page: {page}\nnext, its curvature, the classes of pictures or arrays, and other optimizers beside it:\n  sph inspect --checkpoint \
         {folder}\n  sph predict {folder} FILE\n  sph compare{task}"
    ))
}

fn last_line(o: &TrainingResult) -> String {
    let Some(best) = o.best else { return "no epoch was trained".into() };
    let measure = best.test().measure();
    let name = measure.name();
    let chosen = match o.chosen_on_validation {
        true => format!("chosen on held-out images, {name} {}", measure.shown(best.chosen_by)),
        false => "chosen on the test set; --val-split chooses on held-out images".into(),
    };
    let shown = |best: &Best| format!("{} in epoch {}", measure.shown(best.test().value()), best.epoch + 1);
    let average = o.best_average.map_or(String::new(), |a| format!("; average of weights {}", shown(&a)));
    let early =
        if o.stopped_early { format!("; stopped early after epoch {}", o.epochs) } else { String::new() };
    format!("best test {name} {} ({chosen}){average}{early}", shown(&best))
}

#[test]
fn what_can_be_done_next_are_commands() {
    let flags =
        ["--dataset", "folder", "--data-dir", "/my photos", "--test-fraction", "0.2", "--image-size", "64"];
    let args = TrainArgs::from_command_line(&flags.map(String::from)).unwrap();
    let text = what_next(&RunFolder::at(std::path::Path::new("runs/a b")), &args).unwrap();
    let commands: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("  ")).collect();
    assert_eq!(commands.len(), 3, "{text}");
    for line in &commands {
        let words = shlex::split(line).unwrap();
        crate::cli::command().try_get_matches_from(words).unwrap_or_else(|e| panic!("{line}\n{e}"));
    }
    // The data are read as the run read them.
    assert!(
        ["--data-dir='/my photos'", "--test-fraction=0.2", "--image-size=64"]
            .iter()
            .all(|f| commands[2].contains(f)),
        "{text}"
    );
}
