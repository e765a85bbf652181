//! `sph predict`: classes and probabilities of images that have no labels.

use crate::config::{ModelSource, threads};
use crate::error::{Error, Result};
use crate::model_source::Images;
use clap::Args;
use serde::Serialize;
use sph_autodiff::ops::probabilities;
use sph_data::formats::arrays::{ArrayFile, NamedArray, Values};
use sph_data::formats::image_file::{Decoded, KINDS, decode};
use sph_data::formats::{npz, safetensors};
use sph_data::loader::Source;
use sph_data::pictures::{LeftOut, in_tree, listed, on_all_cores};
use sph_data::sets::arrays;
use sph_data::{DataOptions, ImageSet, Layout, Normalisation, Pixels, Preprocessing, files, fit};
use sph_tensor::Pool;
use sph_train::files::{Table, check_outputs, write_atomically};
use sph_train::{ModelInfo, Objective};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Predict the classes of pictures or arrays.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "Pictures are JPEG, PNG, BMP, WebP, TIFF or GIF files, which their content tells. They are made to have the network's size, by --resize and --crop where it was trained with them; else \
                  those larger than it, and all for a network trained on --dataset folder, are cut to the square in the middle and \
                  resized; smaller ones are enlarged by a whole factor and padded. Of a folder all pictures are taken, also in folders \
                  below it. Arrays are those called x, images, x_test or test_images, or the only one of a .npy file; they must have the \
                  network's size. A .npy file of bytes, [height, width, 3], is one picture. Inputs that cannot be read are named at the \
                  end; the others are predicted, and the exit code is 2.\n\nExamples:\n  sph predict runs/first cat.jpg dog.png --top \
                  3\n  sph predict runs/first photos --csv classes.csv\n  sph predict runs/first images.npz --layout nchw --json"
)]
pub struct PredictArgs {
    /// The folder of a run, whose best epoch is taken, or a model file.
    #[arg(value_name = "RUN|FILE")]
    pub path: PathBuf,
    /// Pictures, folders of them, .npy, .npz or .safetensors files.
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
    /// Write a row per image to this file: input, class, its number and probability, then the probabilities of all classes.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
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
/// For files that do not fit the network; those that do are printed before.
pub fn run(args: &PredictArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    check_outputs(args.csv.as_slice())?;
    let found = args.source.find(Some(&args.path), Images::None)?;
    let (objective, notes) = found.objective(&Pool::<f32>::new(), 0)?;
    super::note(&notes);
    let info = &found.info;
    if !info.loss()?.has_classes() {
        let reason = format!("it was trained with --loss {}; prediction is of classes", info.loss);
        return Err(Error::file(&args.path, reason));
    }
    let batch = args.batch_size as usize;
    let (mut predictions, mut failed, mut several) = (Vec::new(), Vec::new(), Vec::new());
    let inputs = inputs(&args.inputs, &mut failed);
    let count = inputs.len() + failed.len();
    let name = |path: &Path| path.display().to_string();
    // Images are computed together, up to a batch of them, in the order given; every file of arrays by itself.
    for together in inputs.chunk_by(|a, b| reader(a).is_none() && reader(b).is_none()) {
        if let [path] = together
            && let Some(read) = reader(path)
        {
            match array(read, path, info) {
                Ok((pixels, one)) => {
                    let n = pixels.len() / (info.input.0 * info.input.1 * info.input.2);
                    let number = |i| if one { name(path) } else { format!("{}[{i}]", name(path)) };
                    let network = (&objective, info, found.normalisation(pixels.unit()));
                    predict(network, pixels, (0..n).map(number).collect(), batch, &mut predictions)?;
                }
                Err(reason) => failed.push((name(path), reason)),
            }
            continue;
        }
        for paths in together.chunks(batch) {
            let (mut pixels, mut names) = (Vec::new(), Vec::new());
            for (path, read) in paths.iter().zip(on_all_cores(paths, |path| image(path, info))) {
                match read {
                    Ok((values, first_of_several)) => {
                        pixels.push(values);
                        names.push(name(path));
                        if first_of_several {
                            several.push(path);
                        }
                    }
                    Err(reason) => failed.push((name(path), reason)),
                }
            }
            if !names.is_empty() {
                let network = (&objective, info, found.normalisation(255.0));
                predict(network, Pixels::concat(pixels), names, batch, &mut predictions)?;
            }
        }
    }
    if !several.is_empty() {
        let files = listed(several.iter().map(|path| name(path)));
        super::note(&[format!("of files that hold several pictures the first is predicted: {files}")]);
    }
    if !predictions.is_empty() {
        if let Some(path) = &args.csv {
            write_atomically(path, csv(&predictions, &info.class_names).as_bytes())?;
        }
        match args.json {
            true => {
                let failed: Vec<_> = failed
                    .iter()
                    .map(|(input, reason)| serde_json::json!({ "input": input, "reason": reason }))
                    .collect();
                let record = serde_json::json!({ "classes": info.class_names, "predictions": predictions, "failed": failed });
                super::say(&record.to_string())?;
            }
            false => {
                predictions
                    .iter()
                    .try_for_each(|p| super::say(&line(p, &info.class_names, args.top.into())))?;
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Inputs { inputs: count, failed }) }
}

/// The files to predict: those that are named, and the pictures in folders that are named. Folders without pictures are added to `failed`.
fn inputs(named: &[PathBuf], failed: &mut Vec<(String, String)>) -> Vec<PathBuf> {
    let mut inputs = Vec::new();
    for path in named {
        if !path.is_dir() {
            inputs.push(path.clone());
            continue;
        }
        let mut left_out = LeftOut::default();
        match in_tree(path, &mut left_out) {
            Ok(found) if found.is_empty() => {
                failed.push((path.display().to_string(), format!("no picture in it ({KINDS})")));
            }
            Ok(found) => {
                super::note(left_out.note(path).as_slice());
                inputs.extend(found);
            }
            Err(e) => failed.push((path.display().to_string(), reason(e))),
        }
    }
    inputs
}

/// Why a file was refused, without its name.
fn reason(e: sph_data::Error) -> String {
    match e {
        sph_data::Error::File { reason, .. } => crate::error::flags(&reason),
        e => Error::from(e).to_string(),
    }
}

/// A row per image.
fn csv(predictions: &[Prediction], names: &[String]) -> String {
    let columns = ["input", "class", "number", "probability"].map(String::from);
    let mut table = Table::new(columns.into_iter().chain(names.iter().cloned()));
    for p in predictions {
        let begin = [p.input.clone(), p.class.clone(), p.number.to_string(), p.probability.to_string()];
        table.push(begin.into_iter().chain(p.probabilities.iter().map(f64::to_string)));
    }
    table.text()
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
    (objective, info, normalisation): (&Objective<f32>, &ModelInfo, Normalisation),
    images: Pixels,
    names: Vec<String>,
    batch_size: usize,
    out: &mut Vec<Prediction>,
) -> Result<()> {
    // The labels are not known; the loss is not looked at.
    let set = Arc::new(ImageSet::new(info.input, images, vec![0; names.len()]));
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

/// A picture as the network's values, and whether its file holds others.
fn image(path: &Path, info: &ModelInfo) -> std::result::Result<(Pixels, bool), String> {
    let decoded = decode(&files::read(path).map_err(reason)?, !info.data.no_exif)?;
    let several = decoded.first_of_several;
    Ok((fitted(decoded, info)?, several))
}

/// A picture made to have the network's size.
fn fitted(decoded: Decoded, info: &ModelInfo) -> std::result::Result<Pixels, String> {
    let (h, w, channels) = info.input;
    let own = decoded.size();
    if let how @ Preprocessing::Torchvision { .. } = Preprocessing::of(&info.data).map_err(reason)? {
        let (size, pixels) = how.apply(decoded, channels)?;
        return match size == (h, w) {
            true => Ok(pixels),
            false => Err(format!(
                "{}×{} pixels after --resize and --crop; the network takes {h}×{w}",
                size.0, size.1
            )),
        };
    }
    if own == (h, w) {
        return decoded.into_pixels(channels);
    }
    if h != w {
        return Err(format!("{}×{} pixels; the network takes {h}×{w}", own.0, own.1));
    }
    if info.dataset == "folder" || own.0 > h || own.1 > w {
        return decoded.square(h).into_pixels(channels);
    }
    let images = decoded.into_pixels(channels)?;
    let set = ImageSet::new((own.0, own.1, channels), images, vec![0]);
    Ok(fit(&set, h).map_err(reason)?.images)
}

/// The network's values of a file of arrays, and whether it is one picture.
fn array(read: Reader, path: &Path, info: &ModelInfo) -> std::result::Result<(Pixels, bool), String> {
    let (size, pixels) = match read(path, &files::read(path).map_err(reason)?, info)? {
        Inputs::Picture(decoded) => return Ok((fitted(decoded, info)?, true)),
        Inputs::One(pixels) => return Ok((pixels, true)),
        Inputs::Many(size, pixels) => (size, pixels),
    };
    if size != info.input {
        let takes = info.input;
        return Err(format!("inputs are (height, width, channels) {size:?}; the network takes {takes:?}"));
    }
    Ok((pixels, false))
}

/// What a file of arrays holds.
enum Inputs {
    /// Inputs of a size, one behind the other.
    Many((usize, usize, usize), Pixels),
    /// One input of the network's size.
    One(Pixels),
    /// A picture of any size.
    Picture(Decoded),
}

/// A reader of inputs in the bytes of a file of arrays, by its ending.
type Reader = fn(&Path, &[u8], &ModelInfo) -> std::result::Result<Inputs, String>;

fn reader(path: &Path) -> Option<Reader> {
    match &*path.extension()?.to_str()?.to_ascii_lowercase() {
        "npz" => Some(|path, bytes, info| many(path, &mut npz::File::parse(bytes)?, info)),
        "safetensors" => Some(|path, bytes, info| many(path, &mut safetensors::File::parse(bytes)?, info)),
        "npy" => Some(|path, bytes, info| npy(path, npz::parse_npy(bytes)?, info)),
        _ => None,
    }
}

fn many(path: &Path, file: &mut dyn ArrayFile, info: &ModelInfo) -> std::result::Result<Inputs, String> {
    arrays::inputs_only(path, file, &info.data, info.input)
        .map(|(size, pixels)| Inputs::Many(size, pixels))
        .map_err(reason)
}

/// A `.npy` file: one array, which stands for the inputs, or one of them.
fn npy(path: &Path, array: NamedArray, info: &ModelInfo) -> std::result::Result<Inputs, String> {
    let (h, w, c) = info.input;
    let one = match info.data.layout {
        Some(Layout::Nchw) => vec![c, h, w],
        _ => vec![h, w, c],
    };
    if array.shape == one || (c == 1 && array.shape == [h, w]) {
        let layout = info.data.layout.or(Some(Layout::Nhwc));
        let shape = [&[1], &one[..]].concat();
        let mut file = OneArray(NamedArray { shape, values: array.values });
        let options = DataOptions { layout, ..info.data.clone() };
        let (_, pixels) = arrays::inputs_only(path, &mut file, &options, info.input).map_err(reason)?;
        return Ok(Inputs::One(pixels));
    }
    match (&array.shape[..], array.values) {
        // As Pillow's pictures become arrays; images of one channel, W pixels wide, where the network takes such.
        (&[h, w, channels @ (1 | 3 | 4)], Values::Bytes(bytes)) if info.input != (w, channels, 1) => {
            let picture = Decoded::from_bytes(bytes, (h, w, channels));
            picture.map(Inputs::Picture).ok_or_else(|| format!("shape {:?} is empty", array.shape))
        }
        (_, values) => many(path, &mut OneArray(NamedArray { shape: array.shape.clone(), values }), info),
    }
}

/// A file of one array, which stands for the inputs.
struct OneArray(NamedArray);

impl ArrayFile for OneArray {
    fn names(&self) -> Vec<String> {
        vec!["x".into()]
    }

    fn array(&mut self, _name: &str) -> std::result::Result<NamedArray, String> {
        Ok(self.0.clone())
    }
}
