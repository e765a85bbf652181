//! `sph data`: what is in a data set, and downloads.

use crate::config::{DataOptions, dataset_names, sha256, shown};
use crate::data::fetch::{self, Fetched};
use crate::data::{self, ImageSet, Pixels};
use crate::error::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Look into data sets, and download them.
#[derive(Args, Debug, Clone)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The subcommands.
#[derive(Subcommand, Debug, Clone)]
pub enum DataCommand {
    /// Show sizes, classes, and mean and deviation per channel.
    #[command(
        after_help = "Mean and deviation are those of the training images, on the files' own scale; with them images are \
                      normalized.\n\nExamples:\n  sph data stats digits\n  sph data stats folder --data-dir photos --image-size 64 \
                      --test-fraction 0.2 --json"
    )]
    Stats(StatsArgs),
    /// Download a data set into the user's cache directory, where --dataset finds it.
    #[command(
        after_help = "What was downloaded is checked against the published checksum; a download that was broken off goes on where it \
                      was. Known names: fashion-mnist, cifar10, cifar100. Anything else needs --url of the file and \
                      --sha256.\n\nExamples:\n  sph data fetch cifar10\n  sph data fetch cifar10 --url http://mirror.example/cifar/\n  sph \
                      data fetch photos --url http://mirror.example/photos.npz --sha256 2cf24dba…"
    )]
    Fetch(FetchArgs),
}

/// Which data set to look into.
#[derive(Args, Debug, Clone)]
pub struct StatsArgs {
    /// Data set.
    #[arg(value_name = "NAME", default_value = data::DEFAULT, value_parser = dataset_names())]
    pub dataset: String,
    /// Its files.
    #[command(flatten)]
    pub options: DataOptions,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What to download.
#[derive(Args, Debug, Clone)]
pub struct FetchArgs {
    /// Data set: the name of its folder in the cache.
    #[arg(value_name = "NAME", value_parser = fetch::folder_name)]
    pub name: String,
    /// Address of a mirror's folder that holds the published files; for a name that is not known, of the file itself.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// SHA-256 of the file, for a name that is not known.
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub sha256: Option<[u8; 32]>,
    /// Folder of the cache [default: the user's].
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// Does it.
///
/// # Errors
/// For files that cannot be read, and downloads that fail.
pub fn run(args: &DataArgs) -> Result<()> {
    match &args.command {
        DataCommand::Stats(args) => stats(args),
        DataCommand::Fetch(args) => {
            let what = fetch::plan(&args.name, args.url.as_deref(), args.sha256)?;
            let folder = match &args.cache {
                Some(cache) => cache.join(&args.name),
                None => fetch::cache(&args.name)?,
            };
            match fetch::fetch(&what, &folder)? {
                Fetched::Already => super::say(&format!("{} is there already", shown(&folder))),
                Fetched::Now => super::say(&format!("fetched into {}", shown(&folder))),
            }
        }
    }
}

fn stats(args: &StatsArgs) -> Result<()> {
    let data = data::load(&args.dataset, &args.options)?;
    let count = |set: &ImageSet| {
        let mut counts = vec![0u64; data.classes()];
        set.labels.iter().for_each(|l| counts[*l as usize] += 1);
        counts
    };
    let (train, test) = (count(&data.train), count(&data.test));
    let ((h, w, c), n) = (data.train.size, &data.normalisation);
    let values = match data.train.images {
        Pixels::Bytes(_) => "bytes",
        Pixels::Floats(_) => "floats",
    };
    if args.json {
        let classes: Vec<_> = (0..data.classes())
            .map(|i| serde_json::json!({ "name": data.class_names[i], "train": train[i], "test": test[i] }))
            .collect();
        let record = serde_json::json!({
            "dataset": args.dataset,
            "height": h, "width": w, "channels": c, "values": values,
            "train": data.train.len(), "test": data.test.len(),
            "classes": classes, "mean": n.mean, "std": n.std,
        });
        return super::say(&record.to_string());
    }
    super::say(&format!(
        "{}: {} training and {} test images of {h}×{w} with {c} channels ({values}), {} classes",
        args.dataset,
        data.train.len(),
        data.test.len(),
        data.classes()
    ))?;
    let width = data.class_names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(7);
    super::say(&format!("{:width$}  {:>8}  {:>8}", "class", "train", "test"))?;
    for (i, name) in data.class_names.iter().enumerate() {
        super::say(&format!("{name:width$}  {:8}  {:8}", train[i], test[i]))?;
    }
    super::say(&format!("{:width$}  {:>8}  {:>8}", "channel", "mean", "std"))?;
    (0..c).try_for_each(|i| super::say(&format!("{i:<width$}  {:8.4}  {:8.4}", n.mean[i], n.std[i])))
}
