//! `sph inspect`: how diagonal is a network's curvature? Also loss, gradients and exact curvature of one batch for checking
//! against other programs.

use crate::config::{KernelArgs, ModelSource, seed, shown, threads, training_losses};
use crate::error::{Error, Result};
use crate::model_source::Images;
use clap::Args;
use indicatif::ProgressBar;
use sph_data::loader::Source;
use sph_data::sets::labels::IGNORED_LABEL;
use sph_data::{Answers, Batch, IGNORED};
use sph_nn::{Mode, Real};
use sph_optim::EvalError;
use sph_optim::analysis::AnalysisError;
use sph_report::inspect::{self as report, About};
use sph_tensor::{Pool, Rng};
use sph_train::Objective;
use sph_train::files::{self, Tensor};
use sph_train::inspect::{self as inspection, Entries, InspectionSettings, NetworkSettings};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Look at a network's curvature: how diagonal are its second-order blocks, and what is its spectrum?
#[derive(Args, Debug, Clone)]
#[command(
    allow_negative_numbers = true,
    after_help = "Batches are drawn from the training images without augmentation or smoothing. docs/inspect.md explains every \
                  figure.\n\nExamples:\n  sph inspect --model resnet8 --batch-size 128\n  sph inspect --checkpoint \
                  runs/first --batches 4 --report inspect.html\n  sph inspect --checkpoint \
                  runs/first --dtype f64 --no-network --dump out.safetensors"
)]
pub struct InspectArgs {
    /// The folder of a run, whose best epoch is taken, or model state, ours or PyTorch's; without it the model has initial values
    /// drawn from the seed.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Model and data.
    #[command(flatten)]
    pub source: ModelSource,
    /// Loss whose curvature is looked at [default: that of the run or file, or cross-entropy].
    #[arg(long, value_parser = training_losses())]
    pub loss: Option<String>,
    /// Images in a batch.
    #[arg(short, long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Batches, no image in two of them; figures are means over them, with standard errors.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batches: u32,
    /// Seed of batches, probes and initial values.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Precision of the computation.
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"])]
    pub dtype: String,
    /// Batch normalization by batch or by running statistics.
    #[arg(long, default_value = "train", value_parser = ["train", "eval"])]
    pub mode: String,
    /// Leave out the Hessian over all parameters: its trace, eigenvalues and density.
    #[arg(long, conflicts_with_all = ["top", "probes", "lanczos_steps"])]
    pub no_network: bool,
    /// Eigenvalues of the whole network, largest absolute value first.
    #[arg(long, default_value = "5", value_name = "K", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub top: u32,
    /// Random probes for trace and density of the whole network.
    #[arg(long, default_value = "8", value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub probes: u32,
    /// Lanczos steps per probe.
    #[arg(long, default_value = "20", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub lanczos_steps: u32,
    /// Print one JSON object on stdout instead of the table.
    #[arg(long)]
    pub json: bool,
    /// Write a row per block to this file.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write a page to this file: summary, heat maps, density, bars. It needs no network and no script.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Write the first batch to this safetensors file: input (NCHW), target, loss, param.*, buffer.*, grad.*, row_sum.* (H·1) and
    /// hessian.* (blocks of up to 256 entries).
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Worker threads [default: the cores that this process may use; container limits count].
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
    /// Kernels.
    #[command(flatten)]
    pub kernels: KernelArgs,
}

/// Prints a table of the blocks and the network, and writes the files that are asked for.
///
/// # Errors
/// For files and settings that do not fit each other.
pub fn run(args: &InspectArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    args.kernels.configure()?;
    // Found out now, not after a long computation.
    files::check_outputs([&args.dump, &args.csv, &args.report].into_iter().flatten())?;
    if args.dtype == "f64" { inspect::<f64>(args) } else { inspect::<f32>(args) }
}

fn inspect<T: Real>(args: &InspectArgs) -> Result<()> {
    let source = args.source.with_loss(args.loss.as_deref())?;
    let found = source.find(args.checkpoint.as_deref(), Images::PartsOrAll)?;
    let pool = Pool::<T>::new();
    let (mut f, notes) = found.objective(&pool, args.seed)?;
    super::note(&notes);
    let (about, data) = (&found.info, found.data()?);
    let dataset = &about.dataset;
    let (n, count) = (args.batch_size as usize, args.batches as usize);
    let images = data.train.len();
    if n > images {
        return Err(Error::flag(
            "batch-size",
            n.to_string(),
            format!("is more than the {images} training images of {dataset}"),
        ));
    }
    if n * count > images {
        let reason = format!("of --batch-size {n} are more than the {images} training images of {dataset}");
        return Err(Error::flag("batches", count.to_string(), reason));
    }
    // What is refused is one line.
    super::note(&found.notes);
    let mut numbers: Vec<usize> = (0..images).collect();
    Rng::new(args.seed, "shuffle", 0, 0).shuffle(&mut numbers);
    let source =
        Source { set: data.train.clone(), normalisation: about.normalisation.clone(), batch_size: n };
    let batch = |numbers: &[usize]| source.batch(&pool, numbers, None);
    f.mode = if args.mode == "eval" { Mode::Eval } else { Mode::Train };
    let network = NetworkSettings {
        top: args.top as usize,
        probes: args.probes as usize,
        steps: args.lanczos_steps as usize,
        ..NetworkSettings::default()
    };
    let settings = InspectionSettings {
        network: (!args.no_network).then_some(network),
        seed: args.seed,
        ..InspectionSettings::default()
    };
    // A spinner on stderr, on a terminal only.
    let bar = ProgressBar::new_spinner();
    let start = Instant::now();
    let batches = numbers.chunks_exact(n).take(count).map(batch);
    let seen = inspection::inspect(&mut f, batches, &settings, &mut |text| {
        bar.set_message(text.to_string());
        bar.tick();
    });
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let seen = seen.map_err(|e| match (e, f.current_batch()) {
        (AnalysisError::Evaluation(EvalError::NonFiniteLoss(_)), Some(batch)) => {
            let place = f.first_non_finite(&f.store, batch, f.mode).unwrap_or_else(|| "the loss".into());
            sph_train::Error::NotFinite { place }.into()
        }
        (AnalysisError::Evaluation(e), _) => e.into(),
        (e, _) => Error::Analysis(e),
    })?;
    let described = About {
        model: about.model.clone(),
        norm: about.norm.clone(),
        dataset: dataset.clone(),
        checkpoint: args.checkpoint.as_deref().map(shown),
        batch_size: n,
        mode: args.mode.clone(),
        dtype: args.dtype.clone(),
        seed: args.seed,
        numbers: ["--batches", "--probes"],
    };
    let cannot =
        |what: &str, e: &dyn std::fmt::Display| Error::flag(what, None, format!("cannot be made: {e}"));
    match args.json {
        true => super::say(&report::json(&described, &seen, seconds).map_err(|e| cannot("json", &e))?)?,
        false => super::say(&format!("{}\n{seconds:.1} s", report::table(&described, &seen)))?,
    }
    if let Some(path) = &args.csv {
        write(path, report::csv(&seen).as_bytes(), args.json)?;
    }
    if let Some(path) = &args.report {
        let page = report::page(&described, &seen, seconds).map_err(|e| cannot("--report", &e))?;
        write(path, page.as_bytes(), args.json)?;
    }
    if let Some(path) = &args.dump {
        let tensors = tensors(&f, &batch(&numbers[..n]), data.train.as_is.is_some(), &seen.first);
        write(path, &files::to_safetensors(tensors, about, path)?, args.json)?;
    }
    Ok(())
}

/// Writes a file and says so; on stderr when stdout is for JSON alone.
fn write(path: &Path, bytes: &[u8], json: bool) -> Result<()> {
    files::write_atomically(path, bytes)?;
    let line = format!("wrote {}", path.display());
    if json {
        let _ = writeln!(std::io::stderr(), "{line}");
        return Ok(());
    }
    super::say(&line)
}

fn tensors<T: Real>(
    f: &Objective<T>,
    batch: &Batch<T>,
    as_is: bool,
    found: &Entries,
) -> BTreeMap<String, Tensor> {
    let specs = f.store.specs();
    let mut out = BTreeMap::new();
    let x = batch.images.as_slice();
    match (batch.images.shape().dims(), as_is) {
        (&[n, h, w, c], false) => {
            let nchw: Vec<T> = (0..x.len())
                .map(|i| {
                    let (image, channel, pixel) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
                    x[(image * h * w + pixel) * c + channel]
                })
                .collect();
            out.insert("input".into(), Tensor::real(&[n, c, h, w], &nchw));
        }
        (shape, _) => drop(out.insert("input".into(), Tensor::real(shape, x))),
    }
    for (i, more) in (2..).zip(&batch.more) {
        out.insert(format!("input{i}"), Tensor::real(more.shape().dims(), more.as_slice()));
    }
    match &batch.targets {
        Answers::Classes(targets) => {
            let n = batch.len();
            let shape = if targets.len() == n { vec![n] } else { vec![n, targets.len() / n] };
            let class = |t: &u32| if *t == IGNORED { IGNORED_LABEL } else { i64::from(*t) };
            out.insert("target".into(), Tensor::int(&shape, targets.iter().map(class)));
        }
        Answers::Values(values) => {
            let numbers: Vec<T> = values.values.iter().map(|v| T::from_f64(*v)).collect();
            out.insert("target".into(), Tensor::real(&values.shape, &numbers));
        }
        Answers::Nothing => (),
    }
    out.insert("loss".into(), Tensor::real(&[], &[T::from_f64(found.loss)]));
    for (i, spec) in specs.iter().enumerate() {
        out.insert(format!("param.{}", spec.name), Tensor::real(&spec.shape, f.store.values[i].as_slice()));
        out.insert(format!("grad.{}", spec.name), Tensor::real(&spec.shape, &exact::<T>(&found.gradient[i])));
    }
    for (spec, values) in f.store.buffer_specs().iter().zip(&f.store.buffers) {
        let name = format!("buffer.{}", spec.name);
        out.insert(name, Tensor::buffer::<T>(spec, values));
    }
    for (&block, sums) in &found.row_sums {
        out.insert(
            format!("row_sum.{}", specs[block].name),
            Tensor::real(&specs[block].shape, &exact::<T>(sums)),
        );
    }
    for (&block, h) in &found.hessian {
        let c = specs[block].len();
        out.insert(format!("hessian.{}", specs[block].name), Tensor::real(&[c, c], &exact::<T>(h.entries())));
    }
    out
}

/// Numbers that came from `T`, as they were.
fn exact<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|v| T::from_f64(*v)).collect()
}
