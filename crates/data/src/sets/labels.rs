//! What arrays say is to be answered: classes by number or name, one-hot, a class for every position, or numbers.

use super::arrays::plain_numbers;
use super::numbered;
use crate::answers::{AnswerKind, Column, IGNORED, Wanted};
use crate::classes::{check_names, composed};
use crate::error::{Error, Result};
use crate::formats::arrays::{ArrayFile, NamedArray, Values};
use crate::options::{DataOptions, InputKind};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The label of a position that counts nowhere, PyTorch's `ignore_index`.
pub const IGNORED_LABEL: i64 = -100;

/// Answers as they stand in an array.
pub(super) enum Found {
    Labels(Labels),
    Wanted(Wanted),
}

/// What is to be answered in one part, in the array called `name`.
pub(super) fn answers(
    path: &Path,
    file: &mut dyn ArrayFile,
    name: Option<&str>,
    options: &DataOptions,
    notes: &mut Vec<String>,
) -> Result<Found> {
    let Some(name) = name else { return Ok(Found::Wanted(Wanted::Nothing)) };
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    if options.answers == AnswerKind::Values {
        let NamedArray { shape, values } = file.array(name).map_err(fail)?;
        let values = plain_numbers(values).map_err(fail)?;
        return match &shape[..] {
            [_, entry @ ..] if !values.is_empty() => {
                let column = Column { name: "y".into(), shape: entry.to_vec(), values };
                Ok(Found::Wanted(Wanted::Values(column)))
            }
            _ => Err(fail(format!("shape {shape:?}; an answer for every sample is expected"))),
        };
    }
    let tokens = options.inputs.first().is_some_and(|input| input.kind == InputKind::Integers);
    let array = file.array(name).map_err(fail)?;
    match &array.shape[..] {
        [_, positions @ ..]
            if positions.len() > 1 || (tokens && positions.len() == 1 && positions != [1]) =>
        {
            let shape = positions.to_vec();
            let classes = positioned(array.values).map_err(fail)?;
            if classes.is_empty() {
                return Err(fail(format!("shape {:?} is empty", array.shape)));
            }
            Ok(Found::Wanted(Wanted::Classes { shape, classes: classes.into() }))
        }
        _ => labels(path, array, name, notes).map(Found::Labels),
    }
}

/// The classes of positions.
fn positioned(values: Values) -> std::result::Result<Vec<u32>, String> {
    let class = |(i, v): (usize, i64)| match v {
        0..MAX_CLASSES => Ok(v as u32),
        IGNORED_LABEL => Ok(IGNORED),
        _ => Err(format!(
            "label {v} at {i} is not a class from 0 to {}, nor {IGNORED_LABEL}, which counts nowhere",
            MAX_CLASSES - 1
        )),
    };
    match values {
        Values::Bytes(v) => Ok(v.into_iter().map(u32::from).collect()),
        Values::Ints(v) => v.into_iter().enumerate().map(class).collect(),
        Values::Floats(_) => Err("floating-point numbers; labels of positions are whole numbers".into()),
        Values::Text(_) => Err("text; labels of positions are whole numbers".into()),
    }
}

/// Labels and what else is to be answered, of one part.
pub(super) type PartAnswers = (Vec<u32>, Wanted);

/// Labels and what else is to be answered, part by part, and what the classes, or the outputs, are called.
pub(super) fn named(
    found: Vec<Found>,
    called: Option<Vec<String>>,
) -> std::result::Result<(Vec<PartAnswers>, Vec<String>), String> {
    let mut labels = Vec::new();
    let mut others = Vec::new();
    for found in found {
        match found {
            Found::Labels(found) => labels.push(found),
            Found::Wanted(wanted) => others.push((Vec::new(), wanted)),
        }
    }
    if others.is_empty() {
        let (labels, names) = numbers(labels, called)?;
        return Ok((labels.into_iter().map(|labels| (labels, Wanted::Labels)).collect(), names));
    }
    if !labels.is_empty() {
        return Err("one part has a label a sample, the other one a label a position".into());
    }
    let outputs = |wanted: &Wanted| match wanted {
        Wanted::Classes { classes, .. } => {
            let last = classes.iter().filter(|class| **class != IGNORED).max();
            last.map_or(1, |class| *class as usize + 1)
        }
        Wanted::Values(column) => column.entry(),
        Wanted::Labels | Wanted::Nothing => 1,
    };
    let outputs = others.iter().map(|other| outputs(&other.1)).max().unwrap_or(1);
    match called {
        Some(called) if called.len() < outputs => {
            let called = called.len();
            Err(format!("{called} names of classes, and {outputs} classes or outputs: name every one"))
        }
        Some(called) => Ok((others, called)),
        None => Ok((others, numbered(outputs))),
    }
}

/// Classes are at most this many.
const MAX_CLASSES: i64 = 65_536;

/// Labels as they stand in an array.
pub(super) enum Labels {
    /// Numbers of classes, and how many there are by the array's shape.
    Numbers(Vec<u32>, usize),
    /// Names of classes.
    Names(Vec<String>),
}

/// The labels in the array called `name`; what is converted is added to `notes`.
fn labels(path: &Path, array: NamedArray, name: &str, notes: &mut Vec<String>) -> Result<Labels> {
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    let NamedArray { shape, values } = array;
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
