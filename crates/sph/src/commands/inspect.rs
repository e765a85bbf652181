//! `sph inspect`: loss, gradients and exact curvature of one batch, for looking at and for checking against other programs.

use crate::checkpoint::{self, ModelInfo, Tensor};
use crate::config::{
    self, dataset_names, decouple_names, model_names, norm_names, pixels, seed, stem_names, threads,
};
use crate::data::loader::{EpochOrder, Source};
use crate::data::{self, DataOptions};
use crate::error::{Error, Result};
use crate::objective::{Batch, Objective};
use crate::train_loop::{build_model, mode};
use clap::Args;
use sph_nn::{BufferKind, Real};
use sph_optim::presets::SphDrs;
use sph_optim::{Answer, Curvature, Directions, EvalError, Request, Sweep};
use sph_tensor::{Array, Pool, Rng, Shape};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Look at the curvature of a network's second-order blocks on one batch.
#[derive(Args, Debug, Clone)]
#[command(
    allow_negative_numbers = true,
    after_help = "The batch is drawn from the training images without augmentation or smoothing.\n\nExamples:\n  sph inspect \
                  --model resnet8 --batch-size 128\n  sph inspect --checkpoint runs/first/best.safetensors --dtype f64 --dump \
                  out.safetensors"
)]
pub struct InspectArgs {
    /// Model; without --checkpoint it has initial values drawn from the seed.
    #[arg(long, value_parser = model_names())]
    pub model: Option<String>,
    /// Norm between the model's layers [default: that of the checkpoint, or the model's].
    #[arg(long, value_parser = norm_names())]
    pub norm: Option<String>,
    /// Decoupling [default: that of the checkpoint, or none]; plain weights in the checkpoint are converted.
    #[arg(long, value_parser = decouple_names())]
    pub decouple: Option<String>,
    /// How resnet18, 34 and 50 begin [default: that of the checkpoint, or by the images' size].
    #[arg(long, value_parser = stem_names())]
    pub stem: Option<String>,
    /// Height and width that images are made to have [default: those of the checkpoint, or their own].
    #[arg(long, value_parser = pixels, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Model state, ours or PyTorch's; needs --model when the file does not name one.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Data set [default: that of the checkpoint, or digits].
    #[arg(long, value_parser = dataset_names())]
    pub dataset: Option<String>,
    /// Folder of the data files.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Images in the batch.
    #[arg(short, long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Seed of the batch and of initial values.
    #[arg(long, default_value_t = 42, value_parser = seed)]
    pub seed: u64,
    /// Precision of the computation.
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"])]
    pub dtype: String,
    /// Batch normalization by batch or by running statistics.
    #[arg(long, default_value = "train", value_parser = ["train", "eval"])]
    pub mode: String,
    /// Write everything to this safetensors file: input (NCHW), target, loss, param.*, buffer.*, grad.*, row_sum.* (H·1) and
    /// hessian.* (blocks of up to 256 entries).
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Worker threads [default: all cores].
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
}

/// Largest block whose dense Hessian is computed.
const DENSE_LIMIT: usize = 256;
/// Probes that share one sweep. Each keeps the tangents that norms read; what a sweep holds does not grow with the block.
const PROBES_PER_SWEEP: usize = 4;

/// Prints a table of the blocks and writes the dump when asked for.
///
/// # Errors
/// For files and settings that do not fit each other.
pub fn run(args: &InspectArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    if args.dtype == "f64" { inspect::<f64>(args) } else { inspect::<f32>(args) }
}

fn inspect<T: Real>(args: &InspectArgs) -> Result<()> {
    let read = |path: &PathBuf| -> Result<_> { Ok((path.clone(), checkpoint::read_file(path)?)) };
    let file = args.checkpoint.as_ref().map(read).transpose()?;
    let info = file.as_ref().map(|(path, bytes)| checkpoint::model_info(path, bytes)).transpose()?.flatten();
    let model = args.model.clone().or(info.as_ref().map(|i| i.model.clone()));
    let model = model.ok_or_else(|| match &args.checkpoint {
        Some(path) => {
            Error::Config(format!("{} does not name its model; name it with --model", path.display()))
        }
        None => Error::Config("name a --model or a --checkpoint".into()),
    })?;
    let norm = args.norm.clone().or(info.as_ref().map(|i| i.norm.clone()));
    let norm = config::norm(norm.as_deref(), &model)?.name.to_string();
    let stem = args.stem.clone().or(info.as_ref().and_then(|i| i.stem.clone()));
    let decouple = match &args.decouple {
        Some(name) => name == "auto",
        None => info.as_ref().is_some_and(|i| i.decouple),
    };
    let image_size = args.image_size.or(info.as_ref().and_then(|i| i.image_size));
    let dataset = args.dataset.clone().or(info.map(|i| i.dataset)).unwrap_or(data::DEFAULT.into());
    let data = data::load(&dataset, &DataOptions { data_dir: args.data_dir.clone(), image_size })?;
    let pool = Pool::<T>::new();
    let about = ModelInfo {
        model: model.clone(),
        norm,
        decouple,
        stem,
        image_size,
        dataset: dataset.clone(),
        normalisation: data.normalisation.clone(),
    };
    let mut f = Objective::new(build_model(&about, &data, 0.0)?, &pool, args.seed);
    if let Some((path, bytes)) = &file {
        checkpoint::load_model(path, bytes, &mut f.store)?;
    }
    let n = args.batch_size as usize;
    if n > data.train.len() {
        let images = data.train.len();
        return Err(Error::Config(format!(
            "--batch-size {n} is more than the {images} training images of {dataset}"
        )));
    }
    let mut numbers: Vec<usize> = (0..data.train.len()).collect();
    Rng::new(args.seed, "shuffle", 0, 0).shuffle(&mut numbers);
    let source = Source { set: data.train.clone(), normalisation: data.normalisation, batch_size: n };
    let batch = source.batch(&pool, &numbers[..n], None::<EpochOrder>);
    f.mode = mode(&args.mode);
    f.set_batch(batch.clone());
    let found = measure(&mut f).map_err(Error::Evaluation)?;
    if !found.loss.is_finite() {
        let place = f.first_non_finite(&batch, f.mode).unwrap_or_else(|| "the loss".into());
        return Err(Error::Config(format!(
            "the loss is not finite; the first non-finite values are in {place}"
        )));
    }
    super::say(&table(&f, &found, &model, &dataset, args))?;
    if let Some(path) = &args.dump {
        let bytes = checkpoint::to_safetensors(tensors(&f, &batch, found), &about, path)?;
        checkpoint::write_atomically(path, &bytes)?;
        super::say(&format!("wrote {}", path.display()))?;
    }
    Ok(())
}

/// Loss, gradients, and per block the row sums and, up to a size, the dense Hessian.
struct Found<T: Real> {
    loss: f64,
    gradient: Vec<Option<Array<T>>>,
    row_sums: BTreeMap<usize, Array<T>>,
    hessians: BTreeMap<usize, Vec<T>>,
}

fn measure<T: Real>(f: &mut Objective<T>) -> std::result::Result<Found<T>, EvalError> {
    // Looking changes nothing: the running statistics stay as they are.
    let buffers = f.store.buffers.clone();
    let mut answer = Answer::default();
    let all = (0..f.params().len()).collect();
    f.evaluate(&Request { gradient: all, keep: true, ..Request::default() }, &mut answer)?;
    let (loss, gradient) = (answer.loss, answer.gradient);
    let (mut row_sums, mut hessians) = (BTreeMap::new(), BTreeMap::new());
    for block in SphDrs::blocks(f.params()) {
        let c = f.params()[block].len();
        let ones = Array::full(f.pool(), Shape::new(&[1, c]), T::ONE);
        let product = product(f, block, ones)?;
        row_sums.insert(block, product.reshape(Shape::new(&[c])));
        if c <= DENSE_LIMIT {
            let mut rows = Vec::with_capacity(c * c);
            for first in (0..c).step_by(PROBES_PER_SWEEP) {
                let k = PROBES_PER_SWEEP.min(c - first);
                let mut e = Array::zeros(f.pool(), Shape::new(&[k, c]));
                (0..k).for_each(|i| e.make_mut()[i * c + first + i] = T::ONE);
                // Row i of the product is H e_i, column i of H, which is its row i.
                rows.extend_from_slice(self::product(f, block, e)?.as_slice());
            }
            hessians.insert(block, rows);
        }
    }
    f.store.buffers = buffers;
    Ok(Found { loss, gradient, row_sums, hessians })
}

/// H_bb v for the block's probes v [K, C]; a product that is identically zero has no array of its own.
fn product<T: Real>(
    f: &mut Objective<T>,
    block: usize,
    v: Array<T>,
) -> std::result::Result<Array<T>, EvalError> {
    let zeros = Array::zeros(f.pool(), v.shape());
    let mut sweep = Sweep { rows: vec![block], ..Sweep::default() };
    sweep.tangents.insert(block, v);
    let mut out = Directions::default();
    f.hvp(&sweep, &mut out)?;
    Ok(out.get(block).cloned().unwrap_or(zeros))
}

/// What is printed.
fn table<T: Real>(
    f: &Objective<T>,
    found: &Found<T>,
    model: &str,
    dataset: &str,
    args: &InspectArgs,
) -> String {
    let (images, mode, dtype) = (args.batch_size, &args.mode, &args.dtype);
    let mut lines = vec![
        format!("{model} on {images} images of {dataset}, {mode} mode, {dtype}: loss {:.6}", found.loss),
        "row sum: H·1, an entry of it is a diagonal entry only where its row has nothing else".into(),
        "off/diag: Frobenius norm of the block without its diagonal over that of the diagonal\n".into(),
        format!("{:<32} {:>7} {:>12} {:>12} {:>9}", "block", "entries", "row sum min", "max", "off/diag"),
    ];
    for (&block, sums) in &found.row_sums {
        let (min, max) = sums.to_f64().iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        let c = sums.shape().len();
        let ratio = found.hessians.get(&block).map_or("-".into(), |h| {
            let (mut diagonal, mut off) = (0.0, 0.0);
            for (i, v) in h.iter().enumerate() {
                let square = v.to_f64() * v.to_f64();
                *(if i / c == i % c { &mut diagonal } else { &mut off }) += square;
            }
            format!("{:.2}", (off / diagonal).sqrt())
        });
        lines.push(format!("{:<32} {c:>7} {min:>12.3e} {max:>12.3e} {ratio:>9}", f.params()[block].name));
    }
    lines.join("\n")
}

fn tensors<T: Real>(f: &Objective<T>, batch: &Batch<T>, found: Found<T>) -> BTreeMap<String, Tensor> {
    let specs = f.store.specs();
    let mut out = BTreeMap::new();
    let [n, h, w, c] = [0, 1, 2, 3].map(|i| batch.images.shape()[i]);
    let x = batch.images.as_slice();
    let nchw: Vec<T> = (0..x.len())
        .map(|i| {
            let (image, channel, pixel) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
            x[(image * h * w + pixel) * c + channel]
        })
        .collect();
    out.insert("input".into(), Tensor::real(&[n, c, h, w], &nchw));
    out.insert("target".into(), Tensor::int(&[n], batch.targets.iter().map(|t| *t as i64)));
    out.insert("loss".into(), Tensor::real(&[], &[T::from_f64(found.loss)]));
    for (i, spec) in specs.iter().enumerate() {
        out.insert(format!("param.{}", spec.name), Tensor::real(&spec.shape, f.store.values[i].as_slice()));
        // A gradient that is identically zero has no array of its own.
        let zeros = vec![T::ZERO; spec.len()];
        let grad = found.gradient[i].as_ref().map_or(&zeros[..], |g| g.as_slice());
        out.insert(format!("grad.{}", spec.name), Tensor::real(&spec.shape, grad));
    }
    for (spec, values) in f.store.buffer_specs().iter().zip(&f.store.buffers) {
        let name = format!("buffer.{}", spec.name);
        let values: Vec<T> = values.iter().map(|v| T::from_f64(*v)).collect();
        out.insert(
            name,
            match spec.kind {
                BufferKind::Count => Tensor::int(&[], values.iter().map(|v| v.to_f64() as i64)),
                BufferKind::Statistic => Tensor::real(&[spec.len], &values),
            },
        );
    }
    for (block, sums) in found.row_sums {
        out.insert(
            format!("row_sum.{}", specs[block].name),
            Tensor::real(&specs[block].shape, sums.as_slice()),
        );
    }
    for (block, h) in found.hessians {
        let c = specs[block].len();
        out.insert(format!("hessian.{}", specs[block].name), Tensor::real(&[c, c], &h));
    }
    out
}
