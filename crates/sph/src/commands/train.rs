//! `sph train`.

use crate::checkpoint::Checkpoint;
use crate::config::{TrainArgs, shown};
use crate::error::Result;
use crate::history::RunResult;
use crate::observers::{Console, CurvatureLog, Observer, Summary, TensorBoard};
use crate::run::{RunDir, default_name};
use crate::timing;
use crate::train_loop::{Outcome, Trainer};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a run ended, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were trained.
    Finished,
    /// Stopped early by the user; resumable.
    Interrupted,
}

/// Trains a new run, or goes on with one.
///
/// # Errors
/// For the user's mistakes and for what goes wrong on the way; files of earlier runs stay as they were.
pub fn run(args: &TrainArgs, stop: &'static AtomicBool) -> Result<Ended> {
    super::configure_threads(args.threads)?;
    if args.stop_on_eof {
        std::thread::spawn(|| {
            // An end, and an error, are all the same: whoever started this run is gone or wants it to stop.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            stop.store(true, Ordering::Relaxed);
        });
    }
    let mut console = Console::new(args.json, args.log_interval);
    // The run is this process's alone until the end.
    let (mut trainer, _lock) = match &args.resume {
        Some(path) => {
            let run = RunDir::open(path)?;
            let lock = run.lock()?;
            let checkpoint = Checkpoint::read(&run.checkpoint())?;
            let settings = TrainArgs::from_toml(&checkpoint.progress.args, &shown(&run.checkpoint()))?;
            (Trainer::<f32>::resume(&settings, run, &checkpoint)?, lock)
        }
        None => {
            // Data, model and settings are checked before a folder is made.
            let default = || default_name(&args.output, &args.model.model, &args.dataset);
            let name = args.experiment.clone().unwrap_or_else(default);
            let trainer = Trainer::<f32>::new(args, RunDir::planned(&args.output, &name)?)?;
            let lock = trainer.run().create(&args.to_toml()?)?;
            (trainer, lock)
        }
    };
    let run = trainer.run().clone();
    let path = run.path().display();
    console.line(&match args.resume {
        Some(_) => format!("going on with {path} after epoch {}", trainer.epochs_done()),
        None => format!("{} in {path}", trainer.describe()),
    });
    // A folder that cannot be written to is found out now, and a run that fails early can be resumed.
    if let Err(e) = trainer.save() {
        if args.resume.is_none() {
            run.discard();
        }
        return Err(e);
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
        return Ok(Ended::Interrupted);
    }
    let result = result(&outcome);
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
    if let Err(e) = super::report::write(&run, &run.report()) {
        let _ = writeln!(std::io::stderr(), "warning: there is no report: {e}; sph report {path} makes it");
    }
    Ok(Ended::Finished)
}

fn last_line(o: &Outcome) -> String {
    let Some(best) = o.best else { return "no epoch was trained".into() };
    let chosen = match o.chosen_on_validation {
        true => format!("chosen on held-out images, accuracy {:.2} %", 100.0 * best.chosen_by),
        false => "chosen on the test set; --val-split chooses on held-out images".into(),
    };
    format!("best test accuracy {:.2} % in epoch {} ({chosen})", 100.0 * best.test_accuracy, best.epoch + 1)
}

fn result(o: &Outcome) -> RunResult {
    RunResult {
        test_accuracy: o.best.map(|b| b.test_accuracy),
        test_loss: o.best.map(|b| b.test_loss),
        best_epoch: o.best.map(|b| b.epoch + 1),
        chosen_on: if o.chosen_on_validation { "validation" } else { "test" }.into(),
        final_test_accuracy: o.last.map(|l| l.1),
        final_test_loss: o.last.map(|l| l.0),
        epochs: o.epochs,
        seconds: o.seconds,
        step_ms_median: o.step_ms,
        curvature_overhead: o.overhead,
        peak_rss_mb: timing::peak_rss_mb(),
    }
}
