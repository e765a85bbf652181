//! `sph predict`: classes and probabilities of images that have no labels.

use crate::config::{ModelSource, threads};
use crate::error::{Error, Result};
use crate::model_source::Images;
use clap::Args;
use serde::Serialize;
use sph_autodiff::ops::probabilities;
use sph_data::formats::arrays::{ArrayFile, NamedArray};
use sph_data::formats::{image_file, npz, safetensors};
use sph_data::loader::Source;
use sph_data::sets::arrays;
use sph_data::{ImageSet, Pixels, Preprocessing, files, fit};
use sph_tensor::Pool;
use sph_train::{LoadedModel, ModelInfo, Objective};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Predict the classes of image files or arrays.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "Images are made to have the network's size, by --resize and --crop where it was trained with them; else those larger than it, and all for a network trained on --dataset folder, are \
                  cut to the square in the middle and resized; smaller ones are enlarged by a whole factor and padded. Arrays are those \
                  called x, images, x_test or test_images, or the only one of a .npy file; they must have the network's size.\n\nExamples:\n  \
                  sph predict runs/first cat.jpg dog.png --top 3\n  sph predict runs/first images.npz --layout nchw --json"
)]
pub struct PredictArgs {
    /// The folder of a run, whose best epoch is taken, or a model file.
    #[arg(value_name = "RUN|FILE")]
    pub path: PathBuf,
    /// JPEG, PNG, .npy, .npz or .safetensors files.
    #[arg(value_name = "INPUT", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Classes shown per image, most probable first.
    #[arg(long, default_value = "1", value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    pub top: u16,
    /// Images computed at a time.
    #[arg(short, long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Print one JSON object, with the probabilities and logits of all classes.
    #[arg(long)]
    pub json: bool,
    /// Worker threads [default: all cores].
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
    /// Model and data.
    #[command(flatten)]
    pub source: ModelSource,
}

/// What is said of one image.
#[derive(Serialize)]
struct Prediction {
    /// The file, with the image's number in an array.
    input: String,
    class: String,
    number: usize,
    probability: f64,
    probabilities: Vec<f64>,
    /// What the network says, before softmax.
    logits: Vec<f32>,
}

/// Predicts and prints.
///
/// # Errors
/// For files that do not fit the network.
pub fn run(args: &PredictArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    let found = args.source.find(Some(&args.path), Images::None)?;
    let (objective, notes) = found.objective(&Pool::<f32>::new(), 0)?;
    super::note(&notes);
    let info = &found.info;
    let mut predictions = Vec::new();
    let batch = args.batch_size as usize;
    let mut images: Vec<&PathBuf> = Vec::new();
    for (i, path) in args.inputs.iter().enumerate() {
        let arrays = reader(path);
        if arrays.is_none() {
            images.push(path);
        }
        // Images are computed together, up to a batch of them, in the order given.
        if images.len() == batch || arrays.is_some() || i + 1 == args.inputs.len() {
            let read = |path: &&PathBuf| image(path, info);
            let pixels = images.iter().map(read).collect::<Result<Vec<_>>>()?.concat();
            let names = images.drain(..).map(|p| p.display().to_string()).collect();
            predict(&objective, &found, Pixels::Bytes(pixels), names, batch, &mut predictions)?;
        }
        if let Some(read) = arrays {
            let (size, pixels) = read(path, &files::read(path)?, info)?;
            if size != info.input {
                let (takes, reason) = (info.input, "inputs are (height, width, channels)");
                return Err(Error::file(path, format!("{reason} {size:?}; the network takes {takes:?}")));
            }
            let n = pixels.len() / (size.0 * size.1 * size.2);
            let names = (0..n).map(|i| format!("{}[{i}]", path.display())).collect();
            predict(&objective, &found, pixels, names, batch, &mut predictions)?;
        }
    }
    match args.json {
        true => {
            let record = serde_json::json!({ "classes": info.class_names, "predictions": predictions });
            super::say(&record.to_string())
        }
        false => {
            predictions.iter().try_for_each(|p| super::say(&line(p, &info.class_names, args.top.into())))
        }
    }
}

/// An image and its most probable classes.
fn line(p: &Prediction, names: &[String], top: usize) -> String {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| p.probabilities[b].total_cmp(&p.probabilities[a]));
    let classes =
        order.iter().take(top).map(|&c| format!("{} {:.2} %", names[c], 100.0 * p.probabilities[c]));
    format!("{}\t{}", p.input, classes.collect::<Vec<_>>().join("\t"))
}

fn predict(
    objective: &Objective<f32>,
    network: &LoadedModel,
    images: Pixels,
    names: Vec<String>,
    batch_size: usize,
    out: &mut Vec<Prediction>,
) -> Result<()> {
    let info = &network.info;
    let normalisation = network.normalisation(&images);
    // The labels are not known; the loss is not looked at.
    let set = Arc::new(ImageSet { size: info.input, images, labels: vec![0; names.len()] });
    let source = Source { set, normalisation, batch_size };
    let mut names = names.into_iter();
    for batch in source.in_order(objective.pool()) {
        let (_, logits) = objective.evaluate_on(&batch)?;
        for row in logits.as_slice().chunks_exact(info.class_names.len()) {
            let mut p = vec![0.0; row.len()];
            probabilities(row, &mut p);
            let input = names.next().unwrap_or_default();
            if p.iter().any(|p| !p.is_finite()) {
                return Err(Error::NotFinite { input: input.to_string() });
            }
            let number = sph_train::evaluation::argmax(&p);
            let class = info.class_names[number].clone();
            out.push(Prediction {
                input,
                class,
                number,
                probability: p[number],
                probabilities: p,
                logits: row.to_vec(),
            });
        }
    }
    Ok(())
}

/// An image file as the network's bytes.
fn image(path: &Path, info: &ModelInfo) -> Result<Vec<u8>> {
    let fail = |e: String| Error::file(path, e);
    let (h, w, channels) = info.input;
    let decoded = image_file::decode(&files::read(path)?).map_err(fail)?;
    let own = decoded.size();
    if let how @ Preprocessing::Torchvision { .. } = Preprocessing::of(&info.data)? {
        let (size, bytes) = how.apply(decoded, channels).map_err(fail)?;
        let (left_h, left_w) = size;
        return match size == (h, w) {
            true => Ok(bytes),
            false => Err(fail(format!(
                "{left_h}×{left_w} pixels after --resize and --crop; the network takes {h}×{w}"
            ))),
        };
    }
    if own == (h, w) {
        return decoded.into_bytes(channels).map_err(fail);
    }
    if h != w {
        return Err(fail(format!("{}×{} pixels; the network takes {h}×{w}", own.0, own.1)));
    }
    if info.dataset == "folder" || own.0 > h || own.1 > w {
        return decoded.square(h).into_bytes(channels).map_err(fail);
    }
    let images = Pixels::Bytes(decoded.into_bytes(channels).map_err(fail)?);
    let fitted = fit(&ImageSet { size: (own.0, own.1, channels), images, labels: vec![0] }, h)?;
    Ok(fitted.images.bytes().unwrap_or_default().to_vec())
}

/// A reader of inputs in the bytes of a file of arrays, by its ending.
type Reader = fn(&Path, &[u8], &ModelInfo) -> sph_data::Result<((usize, usize, usize), Pixels)>;

fn reader(path: &Path) -> Option<Reader> {
    match path.extension()?.to_str()? {
        "npz" => Some(|path, bytes, info| {
            let mut file = npz::File::parse(bytes).map_err(|e| sph_data::Error::file(path, e))?;
            arrays::inputs_only(path, &mut file, &info.data, info.input)
        }),
        "safetensors" => Some(|path, bytes, info| {
            let mut file = safetensors::File::parse(bytes).map_err(|e| sph_data::Error::file(path, e))?;
            arrays::inputs_only(path, &mut file, &info.data, info.input)
        }),
        "npy" => Some(|path, bytes, info| arrays::inputs_only(path, &mut Npy(bytes), &info.data, info.input)),
        _ => None,
    }
}

/// A `.npy` file: one array, which stands for the inputs.
struct Npy<'a>(&'a [u8]);

impl ArrayFile for Npy<'_> {
    fn names(&self) -> Vec<String> {
        vec!["x".into()]
    }

    fn array(&mut self, _name: &str) -> std::result::Result<NamedArray, String> {
        npz::parse_npy(self.0)
    }
}
