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
//!
//! Where it is said what a network reads (`DataOptions::inputs`), an input `NAME` is `NAME_train` and `NAME_test`, `train_NAME` and
//! `test_NAME`, or `NAME` alone; a single one may be called as above. What is to be answered is called `y`, `labels`, `target` or `targets` in
//! the same way. These inputs are taken as they are. Answers are labels as above, a class for every position of a sample, [`IGNORED_LABEL`](super::labels::IGNORED_LABEL)
//! where none counts, or numbers.

use super::labels::{answers, named};
use super::split_test;
use crate::answers::{AnswerKind, Column, Wanted};
use crate::classes::{check_names, composed, read_names};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::formats::arrays::{ArrayFile, NamedArray, Values};
use crate::image_set::{ImageSet, Pixels};
use crate::options::{DataOptions, InputKind, InputSpec, Layout};
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

/// Names of the arrays of one part of a data set: the inputs in their order, and the answers, where there are any.
#[derive(Clone)]
struct Part {
    inputs: Vec<String>,
    answers: Option<String>,
}

impl Part {
    /// The arrays that are called so, where all are there.
    fn found(&self, names: &[String]) -> Option<Part> {
        let inputs = self.inputs.iter().map(|w| called(names, w)).collect::<Option<_>>()?;
        let answers = self.answers.as_ref().map(|w| called(names, w));
        match answers {
            Some(None) => None,
            answers => Some(Part { inputs, answers: answers.flatten() }),
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.inputs.iter().chain(&self.answers)
    }

    /// The names, for people.
    fn listed(&self) -> String {
        let names: Vec<String> = self.names().map(|name| format!("'{name}'")).collect();
        match &names[..] {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            names => names.join(""),
        }
    }
}

/// What answers may be called.
const ANSWERS: [&str; 4] = ["y", "labels", "target", "targets"];

/// The parts that are looked for, in order: a training set with one to test on, or a single set.
fn wanted(options: &DataOptions) -> Vec<Vec<Part>> {
    let part = |inputs: Vec<String>, answers: Option<String>| Part {
        inputs,
        answers: answers.filter(|_| options.answers != AnswerKind::Nothing),
    };
    if options.inputs.is_empty() {
        let pair = |x: &str, y: &str| part(vec![x.into()], Some(y.into()));
        let parted = PARTED.iter().map(|[x, y, x_test, y_test]| vec![pair(x, y), pair(x_test, y_test)]);
        return parted.chain(SINGLE.iter().map(|[x, y]| vec![pair(x, y)])).collect();
    }
    let names: Vec<&str> = options.inputs.iter().map(|input| &*input.name).collect();
    let mut inputs = vec![names.clone()];
    if let [only] = names[..] {
        inputs.extend(SINGLE.iter().map(|s| s[0]).filter(|s| *s != only).map(|s| vec![s]));
    }
    // An input may be called like answers are.
    let free = ANSWERS.iter().filter(|a| names.iter().all(|name| !name.eq_ignore_ascii_case(a)));
    let answers: Vec<&str> = match options.answers {
        AnswerKind::Nothing => vec![""],
        _ => free.copied().collect(),
    };
    let behind = |name: &str, part: &str| format!("{name}_{part}");
    let before = |name: &str, part: &str| format!("{part}_{name}");
    let bare = |name: &str, _: &str| name.to_string();
    type Spelled<'a> = &'a dyn Fn(&str, &str) -> String;
    let styles: [(Spelled<'_>, &[&str]); 5] = [
        (&behind, &["train", "test"]),
        (&before, &["train", "test"]),
        (&behind, &["train", "val"]),
        (&before, &["train", "val"]),
        (&bare, &[""]),
    ];
    let mut all = Vec::new();
    for (spelled, parts) in styles {
        for inputs in &inputs {
            for answers in &answers {
                let of = |p: &&str| {
                    part(inputs.iter().map(|name| spelled(name, p)).collect(), Some(spelled(answers, p)))
                };
                all.push(parts.iter().map(of).collect());
            }
        }
    }
    all
}

/// That none of what is looked for is there, with what is.
fn nothing_found(path: &Path, names: &[String], options: &DataOptions, wanted: &[Vec<Part>]) -> Error {
    let expected = match options.inputs.is_empty() {
        true => {
            "x_train, y_train, x_test and y_test, or train_images, train_labels, test_images and test_labels, or x and y, or images and labels"
                .to_string()
        }
        // The first and the last way to spell the network's own names.
        false => {
            let of = |parts: &Vec<Part>| parts.iter().map(Part::listed).collect::<Vec<_>>().join(" with ");
            let single = wanted.iter().find(|parts| parts.len() == 1);
            let ways: Vec<String> = wanted.first().into_iter().chain(single).map(of).collect();
            ways.join(", or ")
        }
    };
    let shown: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
    Error::file(path, format!("holds [{}]; {expected} are expected", shown.join(", ")))
}

/// The data set in `file`, which is called `path` in messages.
///
/// # Errors
/// When the arrays looked for are not there, or do not fit each other.
pub fn dataset(path: &Path, file: &mut dyn ArrayFile, options: &DataOptions) -> Result<Dataset> {
    let names = file.names();
    let all_wanted = wanted(options);
    let found = all_wanted
        .iter()
        .find_map(|parts| parts.iter().map(|part| part.found(&names)).collect::<Option<Vec<_>>>());
    let parts = found.ok_or_else(|| nothing_found(path, &names, options, &all_wanted))?;
    if let ([_, test], true) = (&parts[..], options.test_fraction.is_some()) {
        let reason = format!("{} has test images already ('{}')", path.display(), test.inputs[0]);
        return Err(Error::setting("test-fraction", None, reason));
    }
    let mut notes = Vec::new();
    let answers = parts
        .iter()
        .map(|part| answers(path, file, part.answers.as_deref(), options, &mut notes))
        .collect::<Result<Vec<_>>>()?;
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
    let (answers, class_names) = named(answers, called).map_err(|reason| Error::file(path, reason))?;
    let mut sets = Vec::new();
    for (part, (labels, wanted)) in parts.iter().zip(answers) {
        sets.push(samples(path, file, part, options, labels, wanted)?);
    }
    let mut data = match (<[ImageSet; 2]>::try_from(sets), &parts[..]) {
        (Ok([train, test]), [of_train, of_test]) => {
            let (x, x_test) = (&of_train.inputs[0], &of_test.inputs[0]);
            if train.size != test.size {
                let reason = format!(
                    "inputs of '{x}' are {:?} (height, width, channels), of '{x_test}' {:?}",
                    train.size, test.size
                );
                return Err(Error::file(path, reason));
            }
            if let Some((of_train, of_test)) = differ(&train.wanted, &test.wanted) {
                let reason =
                    format!("what is to be answered is {of_train} in training, {of_test} in the test set");
                return Err(Error::file(path, reason));
            }
            if is_validation(x_test) {
                let names: Vec<String> = of_test.names().map(|name| format!("'{name}'")).collect();
                let those = names.join(" and ");
                notes.push(format!("there are no test images: {those} are those to test on"));
            }
            Dataset::new(train, test, class_names)?
        }
        (Ok(_), _) => return Err(Error::file(path, "has no set of arrays")),
        (Err(mut single), _) => match single.pop() {
            Some(all) => split_test(path, all, class_names, options)?,
            None => return Err(Error::file(path, "has no set of arrays")),
        },
    };
    let used = |name: &String| parts.iter().flat_map(Part::names).any(|used| used == name);
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

/// Shapes of what is to be answered, for people, where they differ.
fn differ(a: &Wanted, b: &Wanted) -> Option<(String, String)> {
    let shape = |wanted: &Wanted| match wanted {
        Wanted::Labels | Wanted::Nothing => "a class a sample".to_string(),
        Wanted::Classes { shape, .. } => format!("classes of {shape:?} positions"),
        Wanted::Values(column) => format!("numbers of shape {:?}", column.shape),
    };
    let (a, b) = (shape(a), shape(b));
    (a != b).then_some((a, b))
}

/// The samples of one part.
fn samples(
    path: &Path,
    file: &mut dyn ArrayFile,
    part: &Part,
    options: &DataOptions,
    labels: Vec<u32>,
    wanted: Wanted,
) -> Result<ImageSet> {
    let first = &part.inputs[0];
    let mut set = match options.inputs.first().filter(|_| options.as_is()) {
        None => {
            let (size, images) = inputs(path, file, first, options.layout, None)?;
            ImageSet::new(size, images, Vec::new())
        }
        Some(spec) => {
            let column = column(path, file, first, spec)?;
            let set = ImageSet::new((1, 1, column.entry()), column.values, Vec::new());
            ImageSet { as_is: Some(column.shape), ..set }
        }
    };
    let n = set.images.len() / set.image_len();
    for (name, spec) in part.inputs.iter().zip(&options.inputs).skip(1) {
        let column = column(path, file, name, spec)?;
        let found = column.values.len() / column.entry();
        if found != n {
            let reason = format!("'{name}' has {found} samples, '{first}' {n}");
            return Err(Error::file(path, reason));
        }
        set.more.push(column);
    }
    let y = part.answers.as_deref().unwrap_or_default();
    let (found, what) = match &wanted {
        Wanted::Labels => (labels.len(), "labels"),
        Wanted::Classes { shape, classes } => {
            (classes.len() / shape.iter().product::<usize>(), "rows of labels")
        }
        Wanted::Values(column) => (column.values.len() / column.entry(), "answers"),
        Wanted::Nothing => (n, ""),
    };
    if found != n {
        let reason = format!("'{y}' has {found} {what} for the {n} inputs of '{first}'");
        return Err(Error::file(path, reason));
    }
    (set.labels, set.wanted) = (if wanted == Wanted::Labels { labels } else { vec![0; n] }, wanted);
    Ok(set)
}

/// Whole numbers beyond this are not exact in 32 bits.
const EXACT: i64 = 1 << 24;

/// An input that is taken as it is.
fn column(path: &Path, file: &mut dyn ArrayFile, name: &str, spec: &InputSpec) -> Result<Column> {
    let fail = |reason: String| Error::file(path, format!("array '{name}': {reason}"));
    let NamedArray { shape, values } = file.array(name).map_err(fail)?;
    let fits = shape.split_first().is_some_and(|(n, rest)| *n > 0 && rest == spec.shape);
    if !fits || shape.contains(&0) {
        let wanted: Vec<String> = spec.shape.iter().map(usize::to_string).collect();
        let wanted = std::iter::once("N".to_string()).chain(wanted).collect::<Vec<_>>().join(", ");
        return Err(fail(format!("shape {shape:?}; the network reads [{wanted}] as '{}'", spec.name)));
    }
    let values = match values {
        Values::Floats(_) if spec.kind == InputKind::Integers => {
            return Err(fail(format!(
                "floating-point numbers; the network reads whole numbers, such as tokens, as '{}'",
                spec.name
            )));
        }
        values => plain_numbers(values).map_err(fail)?,
    };
    Ok(Column { name: spec.name.clone(), shape: spec.shape.clone(), values })
}

/// Numbers as they are, finite and exact.
pub(super) fn plain_numbers(values: Values) -> std::result::Result<Pixels, String> {
    match values {
        Values::Bytes(v) => Ok(Pixels::Bytes(v)),
        Values::Ints(v) => match v.iter().position(|v| v.abs() > EXACT) {
            None => Ok(Pixels::Floats(v.into_iter().map(|v| v as f32).collect())),
            Some(i) => Err(format!(
                "value {i} is {}; whole numbers are exact up to {EXACT} in 32 bits, and larger ones are refused",
                v[i]
            )),
        },
        Values::Floats(v) => match v.iter().position(|v| !v.is_finite()) {
            None => Ok(Pixels::Floats(v)),
            Some(i) => Err(format!("value {i} is {}; finite 32-bit numbers are expected", v[i])),
        },
        Values::Text(_) => Err("text; numbers are expected".into()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::IGNORED;

    /// Arrays in memory.
    struct Arrays(Vec<(&'static str, NamedArray)>);

    impl ArrayFile for Arrays {
        fn names(&self) -> Vec<String> {
            self.0.iter().map(|a| a.0.to_string()).collect()
        }

        fn array(&mut self, name: &str) -> std::result::Result<NamedArray, String> {
            self.0.iter().find(|a| a.0 == name).map(|a| a.1.clone()).ok_or_else(|| "is missing".into())
        }
    }

    fn ints(shape: &[usize], values: impl IntoIterator<Item = i64>) -> NamedArray {
        NamedArray { shape: shape.to_vec(), values: Values::Ints(values.into_iter().collect()) }
    }

    fn floats(shape: &[usize], values: impl IntoIterator<Item = f32>) -> NamedArray {
        NamedArray { shape: shape.to_vec(), values: Values::Floats(values.into_iter().collect()) }
    }

    fn spec(name: &str, kind: InputKind, shape: &[usize]) -> InputSpec {
        InputSpec { name: name.into(), kind, shape: shape.to_vec() }
    }

    fn read(
        arrays: &[(&'static str, NamedArray)],
        options: &DataOptions,
    ) -> std::result::Result<Dataset, String> {
        dataset(Path::new("f.npz"), &mut Arrays(arrays.to_vec()), options).map_err(|e| e.to_string())
    }

    /// A network that reads tokens [N, 3].
    fn of_tokens() -> DataOptions {
        let inputs = vec![spec("idx", InputKind::Integers, &[3])];
        DataOptions { inputs, test_fraction: Some(0.5), ..DataOptions::default() }
    }

    #[test]
    fn tokens_are_taken_as_they_are_and_some_labels_do_not_count() {
        let x = ints(&[4, 3], 0..12);
        let y = ints(&[4, 3], [1, -100, 5, 0, 0, 0, 2, 2, 2, -100, -100, -100]);
        let data = read(&[("x", x.clone()), ("y", y.clone())], &of_tokens()).unwrap();
        assert_eq!((data.classes(), data.train.len(), data.test.len(), data.has_labels()), (6, 2, 2, false));
        let all = data.all();
        assert_eq!((all.as_is.as_deref(), &*data.train.spelled_size()), (Some(&[3][..]), "[3]"));
        // Whatever the division, a sample keeps its answers.
        let Wanted::Classes { classes, .. } = &all.wanted else { panic!("{:?}", all.wanted) };
        let Values::Ints(y) = &y.values else { panic!() };
        for i in 0..4 {
            let tokens = all.images.numbers(&[i], 3);
            let number = tokens[0] as usize / 3;
            assert_eq!(tokens, [0, 1, 2].map(|j| (3 * number + j) as f64));
            let label = |v: &i64| if *v < 0 { IGNORED } else { *v as u32 };
            assert_eq!(
                classes[3 * i..3 * i + 3],
                y[3 * number..3 * number + 3].iter().map(label).collect::<Vec<_>>()
            );
        }
        // A label for a whole sample is one; the network's own name of the input is found, too.
        let data = read(&[("IDX", x), ("labels", ints(&[4], [0, 1, 1, 0]))], &of_tokens()).unwrap();
        assert!(data.has_labels() && data.train.wanted == Wanted::Labels && data.classes() == 2);
    }

    #[test]
    fn several_inputs_go_by_the_networks_names() {
        let inputs = vec![spec("x", InputKind::Floats, &[2]), spec("y", InputKind::Integers, &[])];
        let options = DataOptions { inputs, ..DataOptions::default() };
        let part = |x: &'static str, y: &'static str, target: &'static str, n: usize| {
            let x = (x, floats(&[n, 2], (0..2 * n).map(|i| i as f32)));
            [x, (y, ints(&[n], 0..n as i64)), (target, ints(&[n], (0..n as i64).map(|i| i % 2)))]
        };
        // Behind the names or before them; an input takes the usual name of the answers away.
        let arrays =
            [part("x_train", "y_train", "target_train", 4), part("x_test", "y_test", "target_test", 2)];
        let data = read(&arrays.concat(), &options).unwrap();
        let y = &data.train.more[0];
        assert_eq!((&*y.name, y.shape.len(), y.values.numbers(&[2], 1)), ("y", 0, vec![2.0]));
        assert_eq!((data.train.len(), data.test.len(), &data.train.labels[..]), (4, 2, &[0, 1, 0, 1][..]));
        let bare = DataOptions { test_fraction: Some(0.5), ..options.clone() };
        let data = read(&part("x", "y", "targets", 4), &bare).unwrap();
        for i in 0..2 {
            // The parts of a sample stay together.
            assert_eq!(
                data.test.images.numbers(&[i], 2)[0] / 2.0,
                data.test.more[0].values.numbers(&[i], 1)[0]
            );
        }
        // Nothing is to be answered where the network computes its loss.
        let nothing = DataOptions { answers: AnswerKind::Nothing, ..bare };
        let data = read(&part("x", "y", "unused", 4), &nothing).unwrap();
        assert!(data.train.wanted == Wanted::Nothing && data.classes() == 1);
    }

    #[test]
    fn numbers_of_any_shape_are_answers() {
        let options =
            DataOptions { answers: AnswerKind::Values, test_fraction: Some(0.5), ..DataOptions::default() };
        let x = floats(&[4, 2], (0..8).map(|v| v as f32));
        for (shape, outputs) in [(&[4][..], 1), (&[4, 1], 1), (&[4, 3], 3), (&[4, 2, 2], 4)] {
            let y = floats(shape, (0..4 * outputs).map(|v| v as f32 / 2.0));
            let data = read(&[("x", x.clone()), ("y", y)], &options).unwrap();
            assert_eq!(data.classes(), outputs);
            let Wanted::Values(column) = &data.train.wanted else { panic!() };
            assert_eq!((&column.shape[..], column.values.len()), (&shape[1..], 2 * outputs));
            // Features are normalised as ever.
            assert!(data.train.as_is.is_none() && data.normalisation.mean.len() == 2);
        }
    }

    #[test]
    fn what_does_not_fit_is_one_line() {
        let tokens = of_tokens();
        let x = || ("x", ints(&[4, 3], 0..12));
        let y = |values: [i64; 12]| ("y", ints(&[4, 3], values));
        let good = || y([0; 12]);
        let numbers = DataOptions { answers: AnswerKind::Values, ..tokens.clone() };
        let nan = ("y", floats(&[4], [0.0, f32::NAN, 0.0, 0.0]));
        type Named<'a> = &'a [(&'static str, NamedArray)];
        let rows: [(Named<'_>, &DataOptions, &[&str]); 12] = [
            (
                &[("a", ints(&[1], [0])), ("b", ints(&[1], [0]))],
                &tokens,
                &["[a, b]", "'idx_train' and 'y_train' with 'idx_test'", "or 'idx' and 'y'"],
            ),
            (
                &[("x", floats(&[4, 3], [0.5; 12])), good()],
                &tokens,
                &["'x'", "floating-point", "whole numbers", "'idx'"],
            ),
            (&[("x", ints(&[4, 2], 0..8)), good()], &tokens, &["'x'", "[4, 2]", "[N, 3]"]),
            (
                &[("x", ints(&[4, 3], (0..12).map(|i| i << 22))), good()],
                &tokens,
                &["'x'", "value 5 is 20971520", "16777216"],
            ),
            (&[x(), y([0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0])], &tokens, &["'y'", "label -1 at 2", "-100"]),
            (&[x(), y([0, 70_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])], &tokens, &["label 70000"]),
            (
                &[x(), ("y", ints(&[3, 3], [0; 9]))],
                &tokens,
                &["'y' has 3 rows of labels for the 4 inputs of 'x'"],
            ),
            (&[x(), ("y", floats(&[4, 3], [0.0; 12]))], &tokens, &["'y'", "floating-point"]),
            (&[x(), nan], &numbers, &["'y'", "value 1 is NaN"]),
            (&[x(), ("y", ints(&[3], [0; 3]))], &numbers, &["'y' has 3 answers for the 4 inputs"]),
            (&[x()], &tokens, &["holds [x]", "expected"]),
            (&[("x", ints(&[0, 3], [])), ("y", ints(&[0, 3], []))], &tokens, &["[0, 3]"]),
        ];
        for (arrays, options, words) in rows {
            let e = read(arrays, options).unwrap_err();
            assert!(!e.contains('\n'), "{e}");
            words.iter().for_each(|w| assert!(e.contains(w), "no {w:?} in {e}"));
        }
        let load = |options: &DataOptions| {
            let options = DataOptions { test_fraction: None, ..options.clone() };
            crate::load("digits", &options).unwrap_err().to_string()
        };
        let [of_tokens, of_numbers] = [load(&tokens), load(&numbers)];
        assert!(of_tokens.contains("`dataset` digits"), "{of_tokens}");
        assert!(of_numbers.contains("npz and safetensors"), "{of_numbers}");
        let sized = DataOptions { image_size: Some(8), data_dir: Some("f.npz".into()), ..tokens };
        assert!(crate::load("npz", &sized).unwrap_err().to_string().contains("`image-size` is of images"));
    }
}
