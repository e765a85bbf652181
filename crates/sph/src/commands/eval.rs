//! `sph eval`: loss and accuracy of a trained network on a part of a data set.

use crate::config::{ModelSource, shown, threads};
use crate::error::{Error, Result, flags};
use crate::model_source::Images;
use clap::{Args, ValueEnum};
use sph_data::loader::Source;
use sph_tensor::Pool;
use sph_train::as_flags;
use sph_train::evaluation::{Evaluation, evaluate};
use std::path::PathBuf;

/// Evaluate a trained network on a part of its data set, or of another.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "The loss is plain cross-entropy. Images are normalized as the network's training images were; of a file that does not say \
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
    let found = args.source.find(Some(&args.path), images)?;
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
    // On torchvision's scale, as flags take it.
    let normalisation =
        info.normalisation.times(1.0 / sph_data::sets::unit(&info.dataset, &data.train.images));
    if args.json {
        let mut record = json(&result, &info.class_names, &info.dataset, name, &file);
        record["mean"] = serde_json::json!(normalisation.mean);
        record["std"] = serde_json::json!(normalisation.std);
        return super::say(&record.to_string());
    }
    let count = match split {
        Split::All => format!("all {} images", result.images()),
        _ => format!("{} {name} images", result.images()),
    };
    let title = format!("{file} on {count} of {}", info.dataset);
    let normalized = format!("images normalized by {}", flags(&as_flags(&normalisation)));
    super::say(&table(&result, &info.class_names, &format!("{title}\n{normalized}")))
}

/// The fraction of a class that was classified correctly; `None` without images of it.
fn accuracy((images, right): (u64, u64)) -> Option<f64> {
    (images > 0).then(|| right as f64 / images as f64)
}

fn table(r: &Evaluation, names: &[String], title: &str) -> String {
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(5);
    let head = format!("loss {:.4}, accuracy {:.2} %", r.loss, 100.0 * r.accuracy());
    let mut lines = vec![title.to_string(), head, format!("{:width$}  images   accuracy", "class")];
    for (name, class) in names.iter().zip(&r.classes) {
        let accuracy = accuracy(*class).map_or("no images".into(), |a| format!("{:.2} %", 100.0 * a));
        lines.push(format!("{name:width$}  {:6}  {accuracy:>9}", class.0));
    }
    lines.join("\n")
}

fn json(r: &Evaluation, names: &[String], dataset: &str, split: &str, file: &str) -> serde_json::Value {
    let class = |(name, c): (&String, &(u64, u64))| serde_json::json!({ "name": name, "images": c.0, "accuracy": accuracy(*c) });
    serde_json::json!({
        "checkpoint": file,
        "dataset": dataset,
        "split": split,
        "images": r.images(),
        "loss": r.loss,
        "accuracy": r.accuracy(),
        "classes": names.iter().zip(&r.classes).map(class).collect::<Vec<_>>(),
    })
}
