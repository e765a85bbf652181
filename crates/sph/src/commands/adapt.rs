//! `sph adapt`: a trained network made to fit other data by its 1-D parameters alone.

use crate::adaptation_setup::AdaptationSetup;
use crate::config::{AdaptArgs, shown};
use crate::error::{Error, Result};
use indicatif::ProgressBar;
use sph_train::adaptation::{AdaptSettings, AdaptationResult, EvalOn, Keep, Kept, StepEvaluation, adapt};
use sph_train::files::{ModelFile, Table, check_outputs, save_model, write_atomically};
use sph_train::process;

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
        keep: args.keep,
        seed: args.seed,
    };
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(settings.steps) };
    let adapted = adapt(&mut objective, &mut optimizer, &data, &settings, |step| bar.set_position(step));
    bar.finish_and_clear();
    let adapted = adapted?;
    super::warn(collapse(&adapted, &network.info.class_names, args.keep).as_slice());
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
            "held_out_images": images.held_out(),
            "evaluation_images": data.evaluate.set.len(),
            "trained_tensors": trained.len(),
            "trained_parameters": entries,
            "second_order_blocks": args.optimizer.blocks(&specs)?.len(),
            "before": adapted.before,
            "recalibrated": adapted.evaluations.first(),
            "final": adapted.evaluations.last(),
            "kept": adapted.kept(),
            "kept_point": point(&adapted),
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
    let kept = match args.keep {
        Keep::Best => format!("\n{}", choice(&adapted, images.held_out())),
        Keep::Last => String::new(),
    };
    super::say(&format!("{title}\n{}{kept}", table(&adapted, args.eval_on)))
}

/// What a point is called.
fn name(kept: Kept, steps: u64) -> &'static str {
    match kept {
        Kept::Before => "before",
        Kept::Evaluated(_) if steps == 0 => "recalibrated",
        Kept::Evaluated(_) => "adapted",
    }
}

/// What the point that is kept is called.
fn point(adapted: &AdaptationResult) -> &'static str {
    name(adapted.kept, adapted.kept().steps)
}

/// Which point is kept, and by what.
fn choice(adapted: &AdaptationResult, held_out: usize) -> String {
    let kept = match (point(adapted), adapted.kept().steps) {
        ("before", _) => "the network as it was".to_string(),
        ("recalibrated", _) => "recalibrated statistics, no step".to_string(),
        (_, steps) => format!("the point after {}", plural(steps, "step")),
    };
    let by = match adapted.kept() {
        StepEvaluation { held_out: Some(_), .. } => {
            format!("least loss on {}", plural(held_out as u64, "held-out labelled image"))
        }
        StepEvaluation { predictions: Some(_), .. } => "most information in the predictions".to_string(),
        _ => return format!("kept: {kept}"),
    };
    format!("kept: {kept}, with the {by} (--keep last keeps the last point)")
}

fn plural(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// What a user should know of predictions that collapsed.
fn collapse(adapted: &AdaptationResult, class_names: &[String], keep: Keep) -> Option<String> {
    let at = adapted.collapse()?;
    let (now, before) = at.predictions.zip(adapted.evaluations.first()?.predictions)?;
    let class = class_names.get(now.largest_class).map_or("", String::as_str);
    let advice = match keep {
        Keep::Best => "",
        Keep::Last => "; --keep best keeps a point from before",
    };
    Some(format!(
        "the predictions have collapsed after {}: they are spread over {:.1} classes, without a step over {:.1}, and class '{class}' has \
         {:.0} % of the images; lower --lr or --steps{advice}",
        plural(at.steps, "step"),
        now.classes,
        before.classes,
        100.0 * now.largest_share,
    ))
}

fn table(adapted: &AdaptationResult, on: EvalOn) -> String {
    let on = if on == EvalOn::Test { "test" } else { "validation" };
    let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
    let mut rows = vec![
        [
            [String::new(), "steps".into(), "seconds".into(), "train loss".into()].to_vec(),
            headings(&adapted.before),
            [format!("{on} loss"), format!("{on} accuracy"), String::new()].to_vec(),
        ]
        .concat(),
    ];
    let points = std::iter::once((Kept::Before, &adapted.before))
        .chain(adapted.evaluations.iter().enumerate().map(|(i, m)| (Kept::Evaluated(i), m)));
    for (at, m) in points {
        let train = match m.steps {
            0 => "-".to_string(),
            n => format!("{:.4}", adapted.train_loss[n as usize - 1]),
        };
        let mut row =
            vec![name(at, m.steps).to_string(), m.steps.to_string(), format!("{:.2}", m.seconds), train];
        if let Some(h) = m.held_out {
            row.extend([format!("{:.4}", h.loss), percent(h.accuracy)]);
        }
        if let Some(p) = m.predictions {
            let information = format!("{:.4}", p.information);
            row.extend([
                format!("{:.4}", p.entropy),
                information,
                format!("{:.1}", p.classes),
                percent(p.largest_share),
            ]);
        }
        row.extend([format!("{:.4}", m.loss), percent(m.accuracy)]);
        row.push(if at == adapted.kept { "kept" } else { "" }.into());
        rows.push(row);
    }
    sph_report::aligned(&rows).trim_end().into()
}

/// What the columns of a point's own measures are called.
fn headings(m: &StepEvaluation) -> Vec<String> {
    let held_out = ["held-out loss", "held-out accuracy"];
    let predictions = ["entropy", "information", "classes", "largest class"];
    let columns =
        m.held_out.iter().flat_map(|_| held_out).chain(m.predictions.iter().flat_map(|_| predictions));
    columns.map(String::from).collect()
}

/// A row before anything, one with recalibrated statistics, then one per step, with an evaluation where there was one.
fn csv(adapted: &AdaptationResult) -> String {
    let mut table =
        Table::new(["step", "seconds", "train_loss", "held_out_loss", "information", "loss", "accuracy"]);
    let mut line = |step: u64, seconds: f64, train: String, measured: Option<&StepEvaluation>| {
        let cells = measured.map_or([None; 4], |m| {
            let (held_out, information) = (m.held_out.map(|h| h.loss), m.predictions.map(|p| p.information));
            [held_out, information, Some(m.loss), Some(m.accuracy)]
        });
        let [held_out, information, loss, accuracy] =
            cells.map(|v| v.map_or(String::new(), |v| v.to_string()));
        table.push([step.to_string(), seconds.to_string(), train, held_out, information, loss, accuracy]);
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
