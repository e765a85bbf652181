//! EMNIST (Cohen, Afshar, Tapson and van Schaik 2017, "EMNIST: an extension of MNIST to handwritten letters"), one of its six
//! splits, from four IDX files, in the folder given or in the cache. The published pictures are transposed, and stay so, as in torchvision.

use super::idx::{self, Files};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::options::DataOptions;

/// A split: its name, its first label, its classes (a character each), and its published numbers of images.
struct Split {
    name: &'static str,
    first: u8,
    classes: &'static str,
    images: [usize; 2],
}

/// Capitals and small letters that look alike are one class.
const MERGED: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt";
const DIGITS: &str = "0123456789";

const SPLITS: [Split; 6] = [
    Split { name: "balanced", first: 0, classes: MERGED, images: [112_800, 18_800] },
    Split {
        name: "byclass",
        first: 0,
        classes: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        images: [697_932, 116_323],
    },
    Split { name: "bymerge", first: 0, classes: MERGED, images: [697_932, 116_323] },
    Split { name: "digits", first: 0, classes: DIGITS, images: [240_000, 40_000] },
    Split { name: "letters", first: 1, classes: "abcdefghijklmnopqrstuvwxyz", images: [124_800, 20_800] },
    Split { name: "mnist", first: 0, classes: DIGITS, images: [60_000, 10_000] },
];

/// The names of the splits.
pub const EMNIST_SPLITS: [&str; 6] = ["balanced", "byclass", "bymerge", "digits", "letters", "mnist"];

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = idx::folder("emnist", options)?;
    let dir = idx::inside("emnist", &dir);
    let prefix = |split: &Split| format!("emnist-{}-", split.name);
    let there: Vec<&Split> = SPLITS.iter().filter(|s| Files::find(&dir, &prefix(s)).is_some()).collect();
    let wanted = options.emnist_split.as_deref();
    let named = match (wanted, &there[..]) {
        (Some(name), _) => SPLITS.iter().find(|s| s.name == name),
        (None, [one]) => Some(*one),
        (None, []) => None,
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|s| s.name).collect();
            let reason =
                format!("says which of the splits in {} is read: {}", dir.display(), names.join(", "));
            return Err(Error::setting("emnist-split", None, reason));
        }
    };
    let files = named.and_then(|split| Files::find(&dir, &prefix(split))).or_else(|| Files::find(&dir, ""));
    let Some(files) = files else {
        let split = named.map_or("letters", |s| s.name);
        return Err(Files::missing(
            &dir,
            &prefix(SPLITS.iter().find(|s| s.name == split).unwrap_or(&SPLITS[0])),
            "unpack EMNIST's gzip.zip, and name its folder with `data-dir`",
        ));
    };
    let (train, test) = (files.train.read()?, files.test.read()?);
    idx::refuse_others(&files, &train, "EMNIST", None)?;
    let mut notes = Vec::new();
    let range = idx::range(&[&train, &test]);
    let split = match named {
        Some(split) => split,
        None => {
            let fits = |s: &&Split| s.first <= range.0 && usize::from(range.1 - s.first) < s.classes.len();
            // Labels from 1 are the letters', and the fewest classes that hold the labels the others'.
            let order =
                ["letters", "digits", "balanced", "byclass"].map(|n| SPLITS.iter().find(|s| s.name == n));
            let found = order.into_iter().flatten().find(fits);
            let found = found.ok_or_else(|| {
                let reason = format!("labels from {} to {} are of none of EMNIST's splits", range.0, range.1);
                Error::file(&files.train.labels, reason)
            })?;
            notes.push(format!(
                "the files in {} do not say of which of EMNIST's splits they are; labels from {} to {} are read as {}",
                dir.display(), range.0, range.1, found.name
            ));
            found
        }
    };
    let last = split.first + (split.classes.len() - 1) as u8;
    for (part, labels) in [(&files.train, &train.labels), (&files.test, &test.labels)] {
        if let Some(label) = labels.iter().find(|l| !(split.first..=last).contains(l)) {
            let (first, name) = (split.first, split.name);
            let reason =
                format!("label {label} is not one of {first} to {last}, the classes of EMNIST's {name}");
            return Err(Error::file(&part.labels, reason));
        }
    }
    if [train.labels.len(), test.labels.len()] != split.images {
        notes.push(format!(
            "{} and {} images are not those of EMNIST's {} as published, {} and {}",
            train.labels.len(),
            test.labels.len(),
            split.name,
            split.images[0],
            split.images[1]
        ));
    }
    let names = split.classes.chars().map(String::from).collect();
    idx::dataset(&dir, [train, test], split.first, names, notes)
}

#[test]
fn the_menu_is_the_table() {
    assert_eq!(SPLITS.map(|s| s.name), EMNIST_SPLITS);
    let classes: Vec<usize> = SPLITS.iter().map(|s| s.classes.len()).collect();
    assert_eq!(classes, [47, 62, 47, 10, 26, 10]);
}
