//! `sph eval`: loss and accuracy of a trained network on a part of a data set.

use crate::config::{ModelSource, shown, threads, training_losses};
use crate::error::{Error, Result, flags};
use crate::model_source::Images;
use clap::{Args, ValueEnum};
use sph_data::loader::Source;
use sph_nn::losses::Loss;
use sph_tensor::Pool;
use sph_train::as_flags;
use sph_train::evaluation::{Evaluation, evaluate};
use std::path::PathBuf;

/// Evaluate a trained network on a part of its data set, or of another.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "The loss is that of the run without smoothing. Images are normalized as the network's training images were; of a file that does not say \
                  how, name it.\n\nExamples:\n  sph eval runs/first\n  sph eval runs/first --split train --json\n  sph eval runs/first \
                  --data-dir other/photos --split all\n  sph eval resnet50.safetensors --model resnet50 --dataset folder --data-dir photos \
                  --resize 256 --crop 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
)]
pub struct EvalArgs {
    /// The folder of a run, whose best epoch is taken, or a model file.
    #[arg(value_name = "RUN|FILE")]
    pub path: PathBuf,
    /// Part of the data set; train and validation as the run's --val-split and --labels have them [default: test; all of a data set without
    /// test images that is not the run's].
    #[arg(long, value_enum)]
    pub split: Option<Split>,
    /// Loss that the network is evaluated by [default: that of the run or file, or cross-entropy].
    #[arg(long, value_parser = training_losses())]
    pub loss: Option<String>,
    /// Images evaluated at a time; the results depend on it only by rounding.
    #[arg(short, long, default_value = "256", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Worker threads [default: all cores].
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
    /// Model and data.
    #[command(flatten)]
    pub source: ModelSource,
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// The images that were trained on.
    Train,
    /// The images that were held out.
    Validation,
    /// The test images.
    Test,
    /// All images, however they are divided.
    All,
}

/// Evaluates and prints.
///
/// # Errors
/// For files and settings that do not fit each other.
pub fn run(args: &EvalArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    let images = match args.split {
        None => Images::PartsOrAll,
        Some(Split::All) => Images::All,
        Some(_) => Images::Parts,
    };
    let found = args.source.with_loss(args.loss.as_deref())?.find(Some(&args.path), images)?;
    let pool = Pool::<f32>::new();
    let (objective, notes) = found.objective(&pool, 0)?;
    super::note(&notes);
    let (info, mut data) = (&found.info, found.data()?.clone());
    let split = args.split.unwrap_or(if data.is_whole() { Split::All } else { Split::Test });
    let (name, set) = match split {
        Split::All => ("all", data.all()),
        Split::Test => ("test", data.test.clone()),
        Split::Train => {
            data.divide(&found.division)?;
            ("training", data.train.clone())
        }
        Split::Validation => ("validation", data.divide(&found.division)?),
    };
    if split == Split::Validation && set.is_empty() {
        return Err(Error::flag(
            "split",
            "validation".to_string(),
            "needs a run with --val-split, which held images out",
        ));
    }
    // What is refused is one line.
    super::note(&found.notes);
    let source =
        Source { set, normalisation: info.normalisation.clone(), batch_size: args.batch_size as usize };
    let result = evaluate(&objective, &source, info.class_names.len())?;
    let file = found.file.as_ref().map(|file| shown(file.path())).unwrap_or_default();
    // On torchvision's scale, as flags take it; what is no image is not normalized.
    let normalisation = data
        .train
        .as_is
        .is_none()
        .then(|| info.normalisation.times(1.0 / sph_data::sets::unit(&info.dataset, &data.train.images)));
    // Of tokens there is no table of classes.
    let names = if data.has_labels() { &info.class_names[..] } else { &[] };
    if args.json {
        let mut record = json(&result, names, &info.dataset, name, &file);
        if info.loss()? != Loss::CrossEntropy {
            record["loss_name"] = serde_json::json!(info.loss);
        }
        if let Some(normalisation) = normalisation {
            record["mean"] = serde_json::json!(normalisation.mean);
            record["std"] = serde_json::json!(normalisation.std);
        }
        return super::say(&record.to_string());
    }
    let what = if data.train.as_is.is_some() { "samples" } else { "images" };
    let count = match split {
        Split::All => format!("all {} {what}", result.samples),
        _ => format!("{} {name} {what}", result.samples),
    };
    let title = format!("{file} on {count} of {}", info.dataset);
    let normalized = normalisation
        .map_or("inputs as they are".into(), |n| format!("images normalized by {}", flags(&as_flags(&n))));
    super::say(&table(&result, names, &format!("{title}\n{normalized}")))
}

/// The fraction of a class that was classified correctly; `None` without images of it.
fn accuracy((images, right): (u64, u64)) -> Option<f64> {
    (images > 0).then(|| right as f64 / images as f64)
}

fn table(r: &Evaluation, names: &[String], title: &str) -> String {
    let accuracy_of_all = r.accuracy().map_or(String::new(), |a| format!(", accuracy {:.2} %", 100.0 * a));
    let head = format!("loss {:.4}{accuracy_of_all}", r.loss);
    if names.is_empty() {
        let tokens = if r.classes.is_empty() { String::new() } else { format!(" of {} labels", r.counted()) };
        return format!("{title}\n{head}{tokens}");
    }
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(5);
    let mut lines = vec![title.to_string(), head, format!("{:width$}  images   accuracy", "class")];
    for (name, class) in names.iter().zip(&r.classes) {
        let accuracy = accuracy(*class).map_or("no images".into(), |a| format!("{:.2} %", 100.0 * a));
        lines.push(format!("{name:width$}  {:6}  {accuracy:>9}", class.0));
    }
    lines.join("\n")
}

fn json(r: &Evaluation, names: &[String], dataset: &str, split: &str, file: &str) -> serde_json::Value {
    let class = |(name, c): (&String, &(u64, u64))| serde_json::json!({ "name": name, "images": c.0, "accuracy": accuracy(*c) });
    let mut record = serde_json::json!({
        "checkpoint": file,
        "dataset": dataset,
        "split": split,
        "images": r.samples,
        "loss": r.loss,
    });
    if let Some(accuracy) = r.accuracy() {
        record["accuracy"] = serde_json::json!(accuracy);
        match names {
            [] => record["labels"] = serde_json::json!(r.counted()),
            names => record["classes"] = names.iter().zip(&r.classes).map(class).collect(),
        }
    }
    record
}
