//! `sph bench`: the time of training steps on synthetic data, for side-by-side measuring.

use crate::config::{KernelArgs, ModelArgs, OptArgs, row, seed, threads, training_losses};
use crate::error::{Error, Result};
use clap::Args;
use sph_data::{Answers, Batch, Values};
use sph_nn::graph::{Imported, InputInfo};
use sph_nn::losses::{LOSSES, Loss};
use sph_nn::{Mode, models};
use sph_optim::EvalError;
use sph_optim::settings::LR;
use sph_tensor::kernels::peak::Peak;
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::explain::Explained;
use sph_train::timing::Times;
use sph_train::{Divergence, Objective, process};
use std::time::Instant;

/// Time training steps on synthetic images: 3×32×32 of 10 classes (or of `--image-size`), or as the network in a .pt2 file takes them.
#[derive(Args, Debug, Clone)]
#[command(
    allow_negative_numbers = true,
    mut_arg("lr", |a| a.help("Learning rate [default: 0.01]").long_help("Learning rate, small by default, so that random labels do not make the loss overflow [default: 0.01]")),
    after_help = "Examples:\n  sph bench --model resnet20 --batch-size 128 --opt sph --steps 40 --json\n  sph bench --model vit_tiny --batch-size 64 --explain\n  sph bench --model resnet50 --image-size 224 --batch-size 8 --steps 4"
)]
pub struct BenchArgs {
    /// Height and width of the images of a built-in model [default: 32].
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub image_size: Option<u32>,
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Optimizer and its settings.
    #[command(flatten)]
    pub optimizer: OptArgs,
    /// What is minimised: classes or numbers, ten of each image, are drawn to be answered.
    #[arg(long, default_value = LOSSES[0].0, value_parser = training_losses())]
    pub loss: String,
    /// Steps that are timed, after two that are not; with sph, rounded up to whole cycles over the blocks.
    #[arg(long, default_value = "40", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub steps: u32,
    /// Images per step.
    #[arg(short, long, default_value = "128", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Seed of the synthetic data.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Worker threads [default: the cores that this process may use; container limits count].
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Say where the time goes: take as many steps again, measured op by op, and show kernels, times and the least times that the machine's
    /// peaks allow.
    #[arg(long)]
    pub explain: bool,
    /// Kernels.
    #[command(flatten)]
    pub kernels: KernelArgs,
}

const WARMUP: usize = 2;

/// Takes the steps and prints their times.
///
/// # Errors
/// For settings that do not fit each other.
pub fn run(args: &BenchArgs) -> Result<()> {
    let threads = super::configure_threads(args.threads)?;
    args.kernels.configure()?;
    let pool = Pool::<f32>::new();
    let graph = args.model.graph()?.map(|file| file.build(args.model.decouples())).transpose()?;
    let (network, inputs, classes, norm) = match graph {
        Some(_) if args.image_size.is_some() => {
            let reason = "is for built-in models; the file says how large its images are".to_string();
            return Err(Error::flag("image-size", args.image_size.map(|s| s.to_string()), reason));
        }
        Some(Imported { network, inputs, output: Some(shape), .. }) if shape.len() == 1 => {
            (network, inputs, shape[0], String::new())
        }
        Some(_) => {
            let reason = "does not give one row of numbers for each sample, which is what is timed";
            return Err(Error::flag("model", args.model.model.clone(), reason));
        }
        None => {
            let size = args.image_size.unwrap_or(32) as usize;
            let config = args.model.config(3, (size, size), 10)?;
            let image = InputInfo { name: "images".into(), shape: vec![3, size, size], integer: false };
            (models::build(&args.model.model, &config)?, vec![image], 10, config.norm.name.to_string())
        }
    };
    let mut objective = Objective::new(network, &pool, args.seed);
    // What `sph train` takes.
    let settings = args.model.suited(args.optimizer.clone())?;
    super::note(&settings.freeze(&mut objective.store)?);
    objective.curvature_fraction = settings.curvature_batch()?;
    let specs = objective.store.specs().to_vec();
    let mut optimizer = settings.build(&specs, args.seed)?;
    let n = args.batch_size as usize;
    let mut rng = Rng::new(args.seed, "bench", 0, 0);
    let mut drawn: Vec<_> = inputs.iter().map(|input| synthetic(input, n, &mut rng, &pool)).collect();
    let more = drawn.split_off(1);
    let images = drawn.remove(0);
    let loss = row(LOSSES, |l| l.0, &args.loss)?.1;
    let numbers = |draw: &mut dyn FnMut() -> f64| Values {
        shape: vec![n, classes],
        values: (0..classes * n).map(|_| draw()).collect(),
    };
    let targets = match loss {
        Loss::Mse => numbers(&mut || rng.normal()).into(),
        Loss::Bce => numbers(&mut || rng.uniform()).into(),
        Loss::CrossEntropy | Loss::Entropy => {
            (0..n).map(|_| rng.below(classes) as u32).collect::<Vec<u32>>().into()
        }
        Loss::Graph => Answers::Nothing,
    };
    objective.loss = loss;
    let batch = Batch { images, more, targets };
    let given = args.optimizer.get(LR.name).is_some();
    let lr = if given { args.optimizer.lr()? } else { 0.01 };
    // Blocks differ in cost: whole cycles of visits, so that none counts more than the others.
    let cycle = settings.blocks(&specs)?.len().max(1);
    let steps = (args.steps as usize).next_multiple_of(cycle);
    let mut times = Times::default();
    for step in 0..WARMUP + steps {
        objective.set_batch(batch.clone());
        let start = Instant::now();
        optimizer.step(&mut objective, lr).map_err(|e| failed(e, &objective, step))?;
        if step >= WARMUP {
            times.push(start.elapsed());
        }
    }
    let explained = args.explain.then(|| -> Result<Explained> {
        let start = Instant::now();
        let (taken, costs) = objective.measured(|objective| {
            (0..steps).try_for_each(|step| {
                objective.set_batch(batch.clone());
                optimizer
                    .step(objective, lr)
                    .map(|_| ())
                    .map_err(|e| failed(e, objective, WARMUP + steps + step))
            })
        });
        taken?;
        Ok(Explained::new(&costs, steps, start.elapsed(), Peak::measure()))
    });
    let explained = explained.transpose()?;
    let (median, min) = (times.median().unwrap_or(0.0), times.min().unwrap_or(0.0));
    let pool_mb = pool.stats().peak_bytes as f64 / 1e6;
    if args.json {
        let mut record = serde_json::json!({
            "model": args.model.model,
            "norm": norm,
            "batch_size": n,
            "opt": args.optimizer.opt,
            "steps": steps,
            "threads": threads,
            "step_ms_median": median,
            "step_ms_min": min,
            "images_per_s": n as f64 / median * 1e3,
            "peak_rss_mb": process::peak_rss_mb(),
            "peak_pool_mb": pool_mb,
        });
        if let Some(explained) = &explained {
            record["explain"] = serde_json::json!(explained);
        }
        super::say(&record.to_string())?;
    } else {
        super::say(&format!(
            "{} batch {n} {}: step {median:.2} ms (median of {}, min {min:.2}), {:.0} images/s, buffers {pool_mb:.0} MB",
            args.model.model,
            args.optimizer.opt,
            steps,
            n as f64 / median * 1e3
        ))?;
        if let Some(explained) = &explained {
            super::say(&explained.table())?;
        }
    }
    Ok(())
}

/// Normal numbers, or zeros and ones where the network reads whole numbers.
fn synthetic(input: &InputInfo, n: usize, rng: &mut Rng, pool: &Pool<f32>) -> Array<f32> {
    let mut shape = input.shape.clone();
    if shape.len() == 3 && !input.integer {
        shape.rotate_left(1);
    }
    shape.insert(0, n);
    let mut values = Array::stale(pool, Shape::new(&shape));
    let draw = |v: &mut f32| *v = if input.integer { rng.below(2) as f32 } else { rng.normal() as f32 };
    values.make_mut().iter_mut().for_each(draw);
    values
}

/// Why step `step`, counted from 0, could not be taken.
fn failed(e: EvalError, objective: &Objective<f32>, step: usize) -> sph_train::Error {
    let Some(what) = e.not_finite() else { return e.into() };
    let batch = objective.current_batch();
    sph_train::Error::Diverged(Divergence {
        what,
        step: step as u64 + 1,
        epoch: None,
        place: batch.and_then(|b| objective.first_non_finite(&objective.store, b, Mode::Train)),
        advice: "lower `lr`",
        kept: None,
    })
}
