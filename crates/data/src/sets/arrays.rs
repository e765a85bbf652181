//! Data sets from named arrays, whatever file they come in: which names are looked for, and what shapes mean.
//!
//! | arrays | meaning |
//! |---|---|
//! | `x_train`, `y_train`, `x_test`, `y_test` (Keras), or `train_images`, `train_labels`, `test_images`, `test_labels` | training and test set |
//! | the same with `val` for `test` | the test set, where there is no other |
//! | `x`, `y`, or `images`, `labels` | one set, split by `test-fraction` |
//! | `class_names` | what the classes are called |
//!
//! Names may be in capitals. Inputs are `[N, F]` (features, each normalized on its own), `[N, H, W]` (images of one channel) or 4-D, whose
//! order `layout` names. Labels are whole numbers from 0, `[N]` or `[N, 1]`, one-hot, `[N, C]`, or the classes' names. Other arrays are
//! left alone.

use super::{numbered, split_test};
use crate::classes::{check_names, composed, read_names};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::formats::arrays::{ArrayFile, NamedArray, Values};
use crate::image_set::{ImageSet, Pixels};
use crate::options::{DataOptions, Layout};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The names of a training set and of one to test on: inputs and labels.
const PARTED: [[&str; 4]; 4] = [
    ["x_train", "y_train", "x_test", "y_test"],
    ["train_images", "train_labels", "test_images", "test_labels"],
    ["x_train", "y_train", "x_val", "y_val"],
    ["train_images", "train_labels", "val_images", "val_labels"],
];
/// The names of a single set.
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

/// The array that is called `wanted`, in any case of letters; one that is called exactly so comes first.
fn called(names: &[String], wanted: &str) -> Option<String> {
    let mut found: Vec<&String> = names.iter().filter(|n| n.eq_ignore_ascii_case(wanted)).collect();
    found.sort_unstable_by_key(|name| (*name != wanted, *name));
    found.first().map(|name| name.to_string())
}

/// The arrays that are called `wanted`, where all are there.
fn all_called<const N: usize>(names: &[String], wanted: &[&str; N]) -> Option<[String; N]> {
    let found: Vec<String> = wanted.iter().filter_map(|w| called(names, w)).collect();
    found.try_into().ok()
}

/// The data set in `file`, which is called `path` in messages.
///
/// # Errors
/// When the arrays looked for are not there, or do not fit each other.
pub fn dataset(path: &Path, file: &mut dyn ArrayFile, options: &DataOptions) -> Result<Dataset> {
    let names = file.names();
    let parted = PARTED.iter().find_map(|wanted| all_called(&names, wanted));
    let pairs: Vec<[String; 2]> = match (parted, SINGLE.iter().find_map(|wanted| all_called(&names, wanted)))
    {
        (Some([x, y, x_test, y_test]), _) => vec![[x, y], [x_test, y_test]],
        (None, Some(single)) => vec![single],
        (None, None) => {
            let wanted = "x_train, y_train, x_test and y_test, or train_images, train_labels, test_images and test_labels, or x and y, \
                          or images and labels";
            let shown: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
            return Err(Error::file(path, format!("holds [{}]; {wanted} are expected", shown.join(", "))));
        }
    };
    if let ([_, [x_test, _]], true) = (&pairs[..], options.test_fraction.is_some()) {
        let reason = format!("{} has test images already ('{x_test}')", path.display());
        return Err(Error::setting("test-fraction", None, reason));
    }
    let mut notes = Vec::new();
    let labels = pairs.iter().map(|[_, y]| labels(path, file, y, &mut notes)).collect::<Result<Vec<_>>>()?;
    let called = match &options.class_names {
        Some(path) => Some(read_names(path)?),
        None => {
            let fail = |reason: String| Error::file(path, format!("'class_names': {reason}"));
            let called = file.class_names().map_err(fail)?;
            let called = called.map(|names| names.iter().map(|name| composed(name)).collect::<Vec<_>>());
            called.iter().try_for_each(|names| check_names(names)).map_err(fail)?;
            called
        }
    };
    let (labels, class_names) = numbers(labels, called).map_err(|reason| Error::file(path, reason))?;
    let mut sets = Vec::new();
    for ([x, y], labels) in pairs.iter().zip(labels) {
        let (size, images) = inputs(path, file, x, options.layout, None)?;
        let n = images.len() / (size.0 * size.1 * size.2);
        if labels.len() != n {
            let reason = format!("'{y}' has {} labels for the {n} inputs of '{x}'", labels.len());
            return Err(Error::file(path, reason));
        }
        sets.push(ImageSet { size, images, labels });
    }
    let mut data = match (<[ImageSet; 2]>::try_from(sets), &pairs[..]) {
        (Ok([train, test]), [[x, _], [x_test, y_test]]) => {
            if train.size != test.size {
                let reason = format!(
                    "inputs of '{x}' are {:?} (height, width, channels), of '{x_test}' {:?}",
                    train.size, test.size
                );
                return Err(Error::file(path, reason));
            }
            if is_validation(x_test) {
                notes.push(format!(
                    "there are no test images: '{x_test}' and '{y_test}' are those to test on"
                ));
            }
            Dataset::new(train, test, class_names)?
        }
        (Ok(_), _) => return Err(Error::file(path, "has no set of arrays")),
        (Err(mut single), _) => match single.pop() {
            Some(all) => split_test(path, all, class_names, options)?,
            None => return Err(Error::file(path, "has no set of arrays")),
        },
    };
    let used = |name: &String| pairs.iter().flatten().any(|used| used == name);
    let mut unused: Vec<String> = names
        .iter()
        .filter(|name| is_validation(name) && !used(name))
        .map(|name| format!("'{name}'"))
        .collect();
    unused.sort_unstable();
    if !unused.is_empty() {
        let unused = unused.join(" and ");
        notes.push(format!(
            "{unused} of {} are not used: `val-split` holds out training images",
            path.display()
        ));
    }
    data.notes.extend(notes);
    Ok(data)
}

/// Whether an array's name says that it is for validation.
fn is_validation(name: &str) -> bool {
    let is = |part: &str| ["val", "valid", "validation", "dev"].iter().any(|v| part.eq_ignore_ascii_case(v));
    name.split('_').any(is)
}

/// Inputs alone, for prediction: the first of the names of inputs that the file has, test sets first. Where the network's `size` fits an
/// array in one way only, `layout` need not be named; an array of just that size is one image.
///
/// # Errors
/// When there is none, or it is no array of inputs.
pub fn inputs_only(
    path: &Path,
    file: &mut dyn ArrayFile,
    options: &DataOptions,
    size: (usize, usize, usize),
) -> Result<((usize, usize, usize), Pixels)> {
    let names = file.names();
    let mut wanted = SINGLE.iter().map(|s| s[0]).chain(PARTED.iter().map(|p| p[2]));
    let found = wanted.find_map(|w| called(&names, w));
    let x =
        found.ok_or_else(|| Error::file(path, "no array called x, images, x_test or test_images in it"))?;
    inputs(path, file, &x, options.layout, Some(size))
}

/// `network` is the size that a network takes, where there is one.
fn inputs(
    path: &Path,
    file: &mut dyn ArrayFile,
    name: &str,
    layout: Option<Layout>,
    network: Option<(usize, usize, usize)>,
) -> Result<((usize, usize, usize), Pixels)> {
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    let NamedArray { mut shape, values } = file.array(name).map_err(fail)?;
    let mut layout = layout;
    if let Some((h, w, c)) = network {
        let (last, first) = ([h, w, c], [c, h, w]);
        // An array of just that size is one image: the network takes none of those that it would be else.
        let one = match c {
            1 => shape == [h, w] && h > 1 || shape == last && w > 1,
            _ => {
                shape == last && layout != Some(Layout::Nchw)
                    || shape == first && layout != Some(Layout::Nhwc)
            }
        };
        if one {
            shape.insert(0, 1);
        }
        if let ([_, image @ ..], None) = (&shape[..], layout) {
            layout = match (image == last, image == first) {
                (true, false) => Some(Layout::Nhwc),
                (false, true) => Some(Layout::Nchw),
                _ => None,
            };
        }
    }
    let (size, planes) = match (&shape[..], layout) {
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
        Values::Text(_) => return Err(fail("text; inputs are numbers".into())),
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

/// Labels as they stand in an array.
enum Labels {
    /// Numbers of classes, and how many there are by the array's shape.
    Numbers(Vec<u32>, usize),
    /// Names of classes.
    Names(Vec<String>),
}

/// The labels in the array called `name`; what is converted is added to `notes`.
fn labels(path: &Path, file: &mut dyn ArrayFile, name: &str, notes: &mut Vec<String>) -> Result<Labels> {
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    let NamedArray { shape, values } = file.array(name).map_err(fail)?;
    let whole = |v: f32| match v.fract() == 0.0 && v.abs() < MAX_CLASSES as f32 {
        true => Ok(v as i64),
        false => Err(fail(format!(
            "label {v} is not the number of a class; labels are whole numbers, names or one-hot"
        ))),
    };
    let (values, floats) = match values {
        Values::Text(names) => {
            return match shape[..] {
                [_] | [_, 1] => Ok(Labels::Names(names.iter().map(|name| composed(name)).collect())),
                _ => Err(fail(format!("shape {shape:?}; names of classes are [N] or [N, 1]"))),
            };
        }
        Values::Bytes(v) => (v.into_iter().map(i64::from).collect(), false),
        Values::Ints(v) => (v, false),
        Values::Floats(v) => (v.into_iter().map(whole).collect::<Result<Vec<i64>>>()?, true),
    };
    let label = |v: i64| match v {
        0..MAX_CLASSES => Ok(v as u32),
        _ => Err(fail(format!("label {v} is not a class from 0 to {}", MAX_CLASSES - 1))),
    };
    match shape[..] {
        [_] | [_, 1] => {
            if floats {
                notes.push(format!(
                    "the labels '{name}' are floating-point numbers, all whole: they are numbers of classes"
                ));
            }
            Ok(Labels::Numbers(values.into_iter().map(label).collect::<Result<_>>()?, 0))
        }
        [_, classes] if (2..=MAX_CLASSES as usize).contains(&classes) => {
            let hot = |(i, row): (usize, &[i64])| match row.iter().position(|v| *v == 1) {
                Some(class) if row.iter().filter(|v| **v != 0).count() == 1 => Ok(class as u32),
                _ => Err(fail(format!("row {i} of shape {shape:?} is not one-hot: one 1 and else 0"))),
            };
            let rows = values.chunks_exact(classes).enumerate().map(hot).collect::<Result<_>>()?;
            notes.push(format!("the labels '{name}' are one-hot, of {classes} classes"));
            Ok(Labels::Numbers(rows, classes))
        }
        _ => Err(fail(format!("shape {shape:?}; labels are [N], [N, 1], or one-hot [N, C]"))),
    }
}

/// The labels as numbers of classes, and what these are called: as the file says, else by the names among the labels, in order, else by
/// their numbers.
fn numbers(
    labels: Vec<Labels>,
    class_names: Option<Vec<String>>,
) -> std::result::Result<(Vec<Vec<u32>>, Vec<String>), String> {
    let mut names = BTreeSet::new();
    let mut classes = 0;
    for labels in &labels {
        match labels {
            Labels::Names(found) => names.extend(found.iter().cloned()),
            Labels::Numbers(found, shape) => {
                let last = found.iter().max().map_or(0, |label| *label as usize + 1);
                classes = classes.max(last).max(*shape);
            }
        }
    }
    if !names.is_empty() && classes > 0 {
        return Err("some labels are names, others numbers".into());
    }
    let names: Vec<String> = match class_names {
        Some(called) if called.len() < classes => {
            let (called, last) = (called.len(), classes - 1);
            return Err(format!("{called} names of classes, and labels up to {last}: name every class"));
        }
        Some(called) => called,
        None if names.is_empty() => numbered(classes),
        None => {
            let names: Vec<String> = names.into_iter().collect();
            check_names(&names)?;
            names
        }
    };
    if names.len() > MAX_CLASSES as usize {
        return Err(format!("more than {MAX_CLASSES} classes"));
    }
    let number_of: HashMap<&str, u32> = names.iter().map(|name| &**name).zip(0..).collect();
    let number = |name: &String| {
        number_of
            .get(&**name)
            .copied()
            .ok_or_else(|| format!("the label '{name}' is none of the names of classes"))
    };
    let as_numbers = |labels: &Labels| match labels {
        Labels::Numbers(numbers, _) => Ok(numbers.clone()),
        Labels::Names(found) => found.iter().map(number).collect(),
    };
    let numbers = labels.iter().map(as_numbers).collect::<std::result::Result<_, String>>()?;
    Ok((numbers, names))
}
