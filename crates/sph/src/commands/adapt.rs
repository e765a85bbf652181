//! `sph adapt`: a trained network made to fit other data by its 1-D parameters alone.

use crate::adaptation_setup::AdaptationSetup;
use crate::config::{AdaptArgs, shown};
use crate::error::{Error, Result};
use indicatif::ProgressBar;
use sph_train::adaptation::{AdaptSettings, AdaptationResult, EvalOn, StepEvaluation, adapt};
use sph_train::files::{ModelFile, Table, check_outputs, save_model, write_atomically};
use sph_train::process;
use std::fmt::Write as _;

/// Adapts, and prints a table or JSON.
///
/// # Errors
/// For files and settings that do not fit each other, and when a loss is not finite.
pub fn run(args: &AdaptArgs) -> Result<()> {
    if args.stop_on_eof {
        // Files are whole at any moment.
        super::at_eof(|| std::process::exit(Error::INTERRUPTED));
    }
    super::configure_threads(args.threads)?;
    args.kernels.configure()?;
    let args = args.clone().resolved()?;
    // Found out now, not after a long computation.
    check_outputs([&args.csv, &args.output].into_iter().flatten())?;
    let setup = AdaptationSetup::new(&args)?;
    super::warn(&setup.notes);
    let data = setup.data()?;
    let AdaptationSetup { network, mut objective, mut optimizer, images, .. } = setup;
    let batch_size = images.batch_size;
    let specs = objective.store.specs().to_vec();
    let settings = AdaptSettings {
        steps: args.steps as u64,
        lr: args.optimizer.lr()?,
        eval_at: args.eval_at.iter().map(|at| *at as u64).collect(),
        recalibrate_batches: args.recalibrate_batches,
        average: args.average_steps.unwrap_or(false),
        seed: args.seed,
    };
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(settings.steps) };
    let adapted = adapt(&mut objective, &mut optimizer, &data, &settings, |step| bar.set_position(step));
    bar.finish_and_clear();
    let adapted = adapted?;
    if let Some(path) = &args.csv {
        write_atomically(path, csv(&adapted).as_bytes())?;
    }
    if let Some(path) = &args.output {
        save_model(path, &objective.store, &network.info)?;
    }
    let trained: Vec<_> = specs.iter().filter(|s| !s.frozen).collect();
    let entries: usize = trained.iter().map(|s| s.len()).sum();
    if args.json {
        let record = serde_json::json!({
            "checkpoint": network.file.as_ref().map(|file| shown(file.path())),
            "checkpoint_crc32": network.file.as_ref().map(ModelFile::crc32),
            "model": network.info.model,
            "norm": network.info.norm,
            "dataset": network.info.dataset,
            "settings": args.settings()?,
            "adaptation_images": data.adapt.set.len(),
            "batch_size": batch_size,
            "curvature_images": args.optimizer.takes_curvature()?.then(|| objective.curved(batch_size)),
            "evaluation_images": data.evaluate.set.len(),
            "trained_tensors": trained.len(),
            "trained_parameters": entries,
            "second_order_blocks": args.optimizer.blocks(&specs)?.len(),
            "before": adapted.before,
            "recalibrated": adapted.evaluations.first(),
            "final": adapted.evaluations.last(),
            "evaluations": adapted.evaluations,
            "train_loss": adapted.train_loss,
            "step_seconds": adapted.step_seconds,
            "cpu_seconds": process::cpu_seconds(),
            "peak_rss_mb": process::peak_rss_mb(),
        });
        return super::say(&record.to_string());
    }
    let corrupted = args.corrupt.map_or(String::new(), |c| format!(" with {c}"));
    let title = format!(
        "{} on {} images of {}{corrupted}: {entries} parameters in {} tensors, --opt {}, lr {}",
        network.info.model,
        data.adapt.set.len(),
        network.info.dataset,
        trained.len(),
        args.optimizer.opt,
        settings.lr
    );
    super::say(&format!("{title}\n{}", table(&adapted, args.eval_on)))
}

fn table(adapted: &AdaptationResult, on: EvalOn) -> String {
    let on = if on == EvalOn::Test { "test" } else { "validation" };
    let mut out = format!("{:12}  steps  seconds  train loss  {on} loss  {on} accuracy\n", "");
    let mut line = |name: &str, m: &StepEvaluation| {
        let train = match m.steps {
            0 => "-".to_string(),
            n => format!("{:.4}", adapted.train_loss[n as usize - 1]),
        };
        let (steps, seconds, loss, accuracy) = (m.steps, m.seconds, m.loss, 100.0 * m.accuracy);
        let (l, a) = (on.len() + 5, on.len() + 7);
        let _ = writeln!(
            out,
            "{name:12}  {steps:5}  {seconds:7.2}  {train:>10}  {loss:>l$.4}  {accuracy:>a$.2} %"
        );
    };
    line("before", &adapted.before);
    for m in &adapted.evaluations {
        line(if m.steps == 0 { "recalibrated" } else { "adapted" }, m);
    }
    out.trim_end().into()
}

/// A row before anything, one with recalibrated statistics, then one per step, with an evaluation where there was one.
fn csv(adapted: &AdaptationResult) -> String {
    let mut table = Table::new(["step", "seconds", "train_loss", "loss", "accuracy"]);
    let mut line = |step: u64, seconds: f64, train: String, measured: Option<&StepEvaluation>| {
        let [loss, accuracy] =
            measured.map_or([const { String::new() }; 2], |m| [m.loss, m.accuracy].map(|v| v.to_string()));
        table.push([step.to_string(), seconds.to_string(), train, loss, accuracy]);
    };
    line(0, 0.0, String::new(), Some(&adapted.before));
    line(0, 0.0, String::new(), adapted.evaluations.first());
    let mut seconds = 0.0;
    for (step, (loss, time)) in (1..).zip(adapted.train_loss.iter().zip(&adapted.step_seconds)) {
        seconds += time;
        line(step, seconds, loss.to_string(), adapted.evaluations.iter().find(|m| m.steps == step));
    }
    table.text()
}
