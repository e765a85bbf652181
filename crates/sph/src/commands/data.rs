//! `sph data`: what is in a data set, corrupted copies, and downloads.

use crate::config::{DatasetArgs, dataset_names, seed, sha256, shown, threads};
use crate::error::{Error, Result};
use clap::{Args, Subcommand};
use sph_data::corrupt::{CORRUPTIONS, Corruption, CorruptionRow, Corruptor, Range, SEVERITIES};
use sph_data::fetch::{self, Fetched};
use sph_data::formats::npz;
use sph_data::{Dataset, ImageSet, Pixels};
use sph_report::{corruption, sheet};
use sph_train::files::{check_outputs, write_atomically};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Look into data sets, corrupt their images, and download them.
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
                      normalized.\n\nExamples:\n  sph data stats\n  sph data stats npz --data-dir arrays.npz\n  sph data stats folder \
                      --data-dir photos --image-size 64 --test-fraction 0.2 --json"
    )]
    Stats(StatsArgs),
    /// Write a corrupted copy of a data set's images, and a sheet of pictures of all corruptions.
    #[command(after_help = CORRUPT_EXAMPLES, after_long_help = about_corruptions())]
    Corrupt(CorruptArgs),
    /// Write a data set's images to a file of arrays, as they are read: decoded once, they are read fast.
    #[command(
        after_help = "Examples:\n  sph data convert digits --output digits.npz\n  sph data convert folder --data-dir photos --image-size 64 --test-fraction 0.2 --output photos.npz\n  sph train \
                      --dataset npz --data-dir photos.npz --layout nhwc"
    )]
    Convert(ConvertArgs),
    /// Download a data set into the user's cache directory, where --dataset finds it.
    #[command(
        after_help = "What was downloaded is checked against the published checksum; a download that was broken off goes on where it \
                      was. Known names: fashion-mnist, cifar10, cifar100. Anything else needs --url of the file and \
                      --sha256.\n\nExamples:\n  sph data fetch cifar10\n  sph data fetch cifar10 --url http://mirror.example/cifar/\n  sph \
                      data fetch photos --url http://mirror.example/photos.npz --sha256 \
                      2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    )]
    Fetch(FetchArgs),
}

/// Which data set to look into.
#[derive(Args, Debug, Clone)]
pub struct StatsArgs {
    /// Data set.
    #[arg(value_name = "NAME", default_value = sph_data::DEFAULT, value_parser = dataset_names())]
    pub dataset: String,
    /// Its files.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What to write as arrays, and where to.
#[derive(Args, Debug, Clone)]
pub struct ConvertArgs {
    /// Data set.
    #[arg(value_name = "NAME", value_parser = dataset_names())]
    pub dataset: String,
    /// Its files.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Write training and test images to this file, for --dataset npz.
    #[arg(short, long, value_name = "FILE.npz")]
    pub output: PathBuf,
}

/// What to corrupt, and where to.
#[derive(Args, Debug, Clone)]
#[command(group = clap::ArgGroup::new("wanted").required(true).multiple(true).args(["output", "sheet"]))]
pub struct CorruptArgs {
    /// Data set.
    #[arg(value_name = "NAME", default_value = sph_data::DEFAULT, value_parser = dataset_names())]
    pub dataset: String,
    /// Its files.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Corruption of the copy.
    #[arg(long, value_name = "NAME:SEVERITY", requires = "output")]
    pub corrupt: Option<Corruption>,
    /// Write training and test images, corrupted, to this file, for --dataset npz.
    #[arg(short, long, value_name = "FILE.npz", requires = "corrupt")]
    pub output: Option<PathBuf>,
    /// Write pictures of all corruptions and severities to this file, a picture or a page.
    #[arg(long, value_name = "FILE.png|html")]
    pub sheet: Option<PathBuf>,
    /// Test images on the sheet, the first ones, at most 64.
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u8).range(1..=64), value_name = "N", requires = "sheet")]
    pub images: u8,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Worker threads [default: all cores]; the results do not depend on it.
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
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

const CORRUPT_EXAMPLES: &str = "Examples:\n  sph data \
         corrupt digits --sheet sheet.html\n  sph data corrupt digits --corrupt fog:3 --output fog3.npz\n  sph eval runs/first --dataset npz \
         --data-dir fog3.npz\n  sph data corrupt cifar10 --corrupt jpeg:5 --output jpeg5.npz  # read with --layout nhwc";

fn about_corruptions() -> String {
    let row = |c: &CorruptionRow| format!("  {:<16}{}\n", c.name, c.about);
    let rows = CORRUPTIONS.iter().map(row).collect::<String>();
    format!(
        "Corruptions, each with severities from 1 to {SEVERITIES}:\n{rows}\nThe families and constants of Hendrycks and Dietterich's \
         CIFAR-10-C. What becomes of an image depends on --seed, the corruption and the image's number alone.\n\n{CORRUPT_EXAMPLES}"
    )
}

/// Carries out the subcommand.
///
/// # Errors
/// For files that cannot be read, and downloads that fail.
pub fn run(args: &DataArgs) -> Result<()> {
    match &args.command {
        DataCommand::Stats(args) => stats(args),
        DataCommand::Corrupt(args) => corrupt(args),
        DataCommand::Convert(args) => convert(args),
        DataCommand::Fetch(args) => {
            let what = fetch::plan(&args.name, args.url.as_deref(), args.sha256)?;
            let folder = match &args.cache {
                Some(cache) => cache.join(&args.name),
                None => fetch::cache(&args.name)?,
            };
            let bar = super::bar("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
            let fetched = fetch::fetch(&what, &folder, &mut |p| {
                bar.set_message(p.file.to_string());
                bar.set_length(p.of.unwrap_or(p.bytes));
                bar.set_position(p.bytes);
            });
            bar.finish_and_clear();
            match fetched? {
                Fetched::Already => super::say(&format!("{} is there already", shown(&folder))),
                Fetched::Now => super::say(&format!("fetched into {}", shown(&folder))),
            }
        }
    }
}

/// The ending of a file to write, in small letters, which is one of `known`.
fn ending(flag: &str, path: &Path, known: &[&str]) -> Result<String> {
    let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    ending.filter(|e| known.contains(&&**e)).ok_or_else(|| {
        let reason = format!("does not end in .{}", known.join(" or ."));
        Error::flag(flag, path.display().to_string(), reason)
    })
}

/// Writes a data set as arrays and says how it is read again.
fn write_arrays(data: &Dataset, what: &str, path: &Path) -> Result<()> {
    let bytes = npz::write(data).map_err(|e| Error::file(path, e))?;
    write_atomically(path, &bytes)?;
    let layout = if data.train.size.2 == 1 { "" } else { " --layout nhwc" };
    super::say(&format!("{what}; read it with --dataset npz --data-dir {}{layout}", shown(path)))
}

fn convert(args: &ConvertArgs) -> Result<()> {
    ending("output", &args.output, &["npz"])?;
    check_outputs([&args.output])?;
    let data = sph_data::load(&args.dataset, &args.data.options())?;
    super::note(&data.notes);
    write_arrays(&data, &args.dataset, &args.output)
}

fn corrupt(args: &CorruptArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    if let Some(path) = &args.output {
        ending("output", path, &["npz"])?;
    }
    let sheet_ending = args.sheet.as_ref().map(|path| ending("sheet", path, &["png", "html"])).transpose()?;
    check_outputs([&args.output, &args.sheet].into_iter().flatten())?;
    let data = sph_data::load(&args.dataset, &args.data.options())?;
    super::note(&data.notes);
    let range = Range::of(&data.train)?;
    if let Some(path) = &args.sheet {
        let shown_there = corruption::of_all(&args.dataset, &data, usize::from(args.images), args.seed)?;
        let bytes = match sheet_ending.as_deref() {
            Some("png") => {
                sheet::png(&shown_there, (56 / data.test.size.1.max(data.test.size.0)).max(1) as u32)
            }
            _ => sheet::html(&shown_there).into_bytes(),
        };
        write_atomically(path, &bytes)?;
        let names: Vec<&str> = shown_there.rows.iter().map(|r| &*r.name).collect();
        super::say(&format!("{}: rows {}", shown(path), names.join(", ")))?;
    }
    let (Some(corruption), Some(path)) = (args.corrupt, &args.output) else { return Ok(()) };
    let corruptor = Corruptor { corruption, range, seed: args.seed };
    let part = |set: &ImageSet, first: usize| {
        let all: Vec<usize> = (0..set.len()).collect();
        Arc::new(corruptor.images(set, &all, first))
    };
    let copy = Dataset { train: part(&data.train, 0), test: part(&data.test, data.train.len()), ..data };
    write_arrays(&copy, &format!("{corruption} of {}", args.dataset), path)
}

fn stats(args: &StatsArgs) -> Result<()> {
    let data = sph_data::load(&args.dataset, &args.data.options())?;
    super::note(&data.notes);
    super::warn(&data.doubts());
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
