//! Data sets from named arrays, whatever file they come in: which names are looked for, and what shapes mean.
//!
//! | arrays | meaning |
//! |---|---|
//! | `x_train`, `y_train`, `x_test`, `y_test` (Keras), or `train_images`, `train_labels`, `test_images`, `test_labels` | training and test set |
//! | `x`, `y`, or `images`, `labels` | one set, split by `test-fraction` |
//!
//! Inputs are `[N, F]` (features, each normalized on its own), `[N, H, W]` (images of one channel) or 4-D, whose order `layout` names.
//! Labels are whole numbers from 0, `[N]` or `[N, 1]`. Other arrays are left alone.

use super::{numbered, split_test};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::formats::arrays::{ArrayFile, NamedArray, Values};
use crate::image_set::{ImageSet, Pixels};
use crate::options::{DataOptions, Layout};
use std::path::{Path, PathBuf};

/// The names of a training and a test set, and of a single set: inputs and labels.
const PARTED: [[&str; 4]; 2] = [
    ["x_train", "y_train", "x_test", "y_test"],
    ["train_images", "train_labels", "test_images", "test_labels"],
];
const SINGLE: [[&str; 2]; 2] = [["x", "y"], ["images", "labels"]];

/// The file that the user named: itself, or the only one with this ending in the folder.
///
/// # Errors
/// When there is none, or there are several.
pub(super) fn find(options: &DataOptions, ending: &str) -> Result<PathBuf> {
    let path = options.data_dir.as_deref();
    let path = path.ok_or_else(|| {
        Error::setting("data-dir", None, format!("is needed by the data set '{ending}': a folder or file"))
    })?;
    if !path.is_dir() {
        return Ok(path.into());
    }
    let listed = std::fs::read_dir(path).map_err(|e| Error::file(path, e.to_string()))?;
    let mut found = listed.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == ending));
    match (found.next(), found.next()) {
        (Some(file), None) => Ok(file),
        (None, _) => Err(Error::file(path, format!("no .{ending} file in it"))),
        _ => {
            Err(Error::file(path, format!("several .{ending} files in it; name one of them with `data-dir`")))
        }
    }
}

/// The data set in `file`, which is called `path` in messages.
///
/// # Errors
/// When the arrays looked for are not there, or do not fit each other.
pub fn dataset(path: &Path, file: &mut dyn ArrayFile, options: &DataOptions) -> Result<Dataset> {
    let names = file.names();
    let has = |wanted: &[&str]| wanted.iter().all(|w| names.iter().any(|n| n == w));
    let mut set = |x: &str, y: &str| -> Result<ImageSet> {
        let (size, images) = inputs(path, file, x, options)?;
        let labels = labels(path, file, y)?;
        let n = images.len() / (size.0 * size.1 * size.2);
        if labels.len() != n {
            return Err(Error::file(
                path,
                format!("'{y}' has {} labels for the {n} inputs of '{x}'", labels.len()),
            ));
        }
        Ok(ImageSet { size, images, labels })
    };
    let classes = |sets: &[&ImageSet]| {
        let last = sets.iter().flat_map(|s| &s.labels).max();
        numbered(last.map_or(0, |l| *l as usize + 1))
    };
    if let Some([x, y, x_test, y_test]) = PARTED.iter().find(|p| has(&p[..])) {
        if options.test_fraction.is_some() {
            let reason = format!("{} has test images already ('{x_test}')", path.display());
            return Err(Error::setting("test-fraction", None, reason));
        }
        let (train, test) = (set(x, y)?, set(x_test, y_test)?);
        if train.size != test.size {
            let reason = format!(
                "inputs of '{x}' are {:?} (height, width, channels), of '{x_test}' {:?}",
                train.size, test.size
            );
            return Err(Error::file(path, reason));
        }
        let names = classes(&[&train, &test]);
        return Ok(Dataset::new(train, test, names)?);
    }
    let Some([x, y]) = SINGLE.iter().find(|p| has(&p[..])) else {
        let wanted = "x_train, y_train, x_test and y_test, or train_images, train_labels, test_images and test_labels, or x and y, or \
                      images and labels";
        let shown: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
        return Err(Error::file(path, format!("holds [{}]; {wanted} are expected", shown.join(", "))));
    };
    let all = set(x, y)?;
    let names = classes(&[&all]);
    split_test(path, all, names, options)
}

/// Inputs alone, for prediction: the first of the names of inputs that the file has, test sets first.
///
/// # Errors
/// When there is none, or it is no array of inputs.
pub fn inputs_only(
    path: &Path,
    file: &mut dyn ArrayFile,
    options: &DataOptions,
) -> Result<((usize, usize, usize), Pixels)> {
    let names = file.names();
    let mut wanted = SINGLE.iter().map(|s| s[0]).chain(PARTED.iter().map(|p| p[2]));
    let found = wanted.find(|w| names.iter().any(|n| n == w));
    let x =
        found.ok_or_else(|| Error::file(path, "no array called x, images, x_test or test_images in it"))?;
    inputs(path, file, x, options)
}

fn inputs(
    path: &Path,
    file: &mut dyn ArrayFile,
    name: &str,
    options: &DataOptions,
) -> Result<((usize, usize, usize), Pixels)> {
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    let NamedArray { shape, values } = file.array(name).map_err(fail)?;
    let (size, planes) = match (&shape[..], options.layout) {
        (&[_, features], _) => ((1, 1, features), false),
        (&[_, h, w], _) => ((h, w, 1), false),
        (&[_, h, w, c], Some(Layout::Nhwc)) => ((h, w, c), false),
        (&[_, c, h, w], Some(Layout::Nchw)) => ((h, w, c), true),
        (&[_, _, _, _], None) => {
            let reason =
                format!("shape {shape:?}; say with `layout` nhwc or nchw whether channels are last or first");
            return Err(fail(reason));
        }
        _ => {
            return Err(fail(format!(
                "shape {shape:?}; inputs have 2 to 4 axes: [N, F], [N, H, W] or 4-D images"
            )));
        }
    };
    if shape.contains(&0) {
        return Err(fail(format!("shape {shape:?} is empty")));
    }
    let pixels = match values {
        // Features are few and each has a scale of its own.
        Values::Bytes(v) if shape.len() > 2 => Pixels::Bytes(v),
        Values::Bytes(v) => Pixels::Floats(v.into_iter().map(f32::from).collect()),
        Values::Ints(v) => Pixels::Floats(v.into_iter().map(|v| v as f32).collect()),
        Values::Floats(v) => Pixels::Floats(v),
    };
    if let Pixels::Floats(v) = &pixels
        && let Some(i) = v.iter().position(|v| !v.is_finite())
    {
        return Err(fail(format!("value {i} is {}; inputs are finite 32-bit numbers", v[i])));
    }
    let pixels = match pixels {
        pixels if !planes => pixels,
        Pixels::Bytes(v) => Pixels::Bytes(channels_last(&v, size)),
        Pixels::Floats(v) => Pixels::Floats(channels_last(&v, size)),
    };
    Ok((size, pixels))
}

fn channels_last<V: Copy>(from: &[V], (h, w, c): (usize, usize, usize)) -> Vec<V> {
    let images = from.chunks_exact(h * w * c);
    images.flat_map(|image| (0..h * w).flat_map(move |p| (0..c).map(move |i| image[i * h * w + p]))).collect()
}

/// Classes are at most this many.
const MAX_CLASSES: i64 = 65_536;

fn labels(path: &Path, file: &mut dyn ArrayFile, name: &str) -> Result<Vec<u32>> {
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    let NamedArray { shape, values } = file.array(name).map_err(fail)?;
    if !matches!(shape[..], [_] | [_, 1]) {
        return Err(fail(format!("shape {shape:?}; labels are [N] or [N, 1]")));
    }
    let label = |v: i64| match v {
        0..MAX_CLASSES => Ok(v as u32),
        _ => Err(fail(format!("label {v} is not a class from 0 to {}", MAX_CLASSES - 1))),
    };
    match values {
        Values::Bytes(v) => Ok(v.into_iter().map(u32::from).collect()),
        Values::Ints(v) => v.into_iter().map(label).collect(),
        Values::Floats(_) => Err(fail("labels are whole numbers, not floating-point ones".into())),
    }
}
