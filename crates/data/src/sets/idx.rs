//! Data sets of IDX files, the format of MNIST: images and labels to train and to test on, four files, gzipped or not, in a folder. Their
//! classes are called as a file says, or by their numbers.
//!
//! Many data sets come as files of the same names (`train-images-idx3-ubyte`): the ones that are known are told apart by their labels.

use crate::classes::{numbered, read_names};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::formats::idx;
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use crate::{fetch, files};
use md5::{Digest, Md5};
use std::path::{Path, PathBuf};

/// A published data set of four IDX files.
struct Published {
    /// Its name in the table of data sets.
    name: &'static str,
    /// What people call it.
    title: &'static str,
    /// The folder that torchvision puts it in.
    torchvision: &'static str,
    /// How many training images it has.
    images: usize,
    /// The published MD5 sum of `train-labels-idx1-ubyte.gz`.
    md5: &'static str,
    /// Its first training labels, where they are known: files that were unpacked and packed again have other sums.
    begins: &'static [u8],
}

const PUBLISHED: [Published; 3] = [
    Published {
        name: "mnist",
        title: "MNIST",
        torchvision: "MNIST",
        images: 60_000,
        md5: "d53e105ee54ea40749a09fcbcd1e9432",
        begins: &[5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9],
    },
    Published {
        name: "kmnist",
        title: "Kuzushiji-MNIST",
        torchvision: "KMNIST",
        images: 60_000,
        md5: "e144d726b3acfaa3e44228e80efcd344",
        begins: &[],
    },
    Published {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        torchvision: "FashionMNIST",
        images: 60_000,
        md5: "25c81989df183df01b3e8a0aad5dffbe",
        begins: &[9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9, 1, 0, 6, 4],
    },
];

/// The row `idx`: any images and classes.
pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = options.data_dir.as_deref().ok_or_else(|| {
        Error::setting("data-dir", None, "is needed by the data set 'idx': the folder of its four files")
    })?;
    let files = Files::find(dir, "").ok_or_else(|| {
        Files::missing(
            dir,
            "",
            "four IDX files are expected: images and labels to train and to test (t10k) on",
        )
    })?;
    let parts = [files.train.read()?, files.test.read()?];
    let range = range(&[&parts[0], &parts[1]]);
    let named =
        options.class_names.as_deref().map(|path| Ok::<_, Error>((path, read_names(path)?))).transpose()?;
    let mut notes = Vec::new();
    if let Some(Published { name, title, .. }) = known(&parts[0]).filter(|_| named.is_none()) {
        notes.push(format!(
            "these are the labels of {title}: `dataset` {name} knows what its classes are called"
        ));
    }
    // Where no label is 0, they are counted from 1, as those of EMNIST's letters are.
    let first = u8::from(range.0 > 0);
    let classes = usize::from(range.1 - first) + 1;
    if first > 0 {
        notes.push(format!(
            "no label in {} is 0: they are taken to count from 1, {classes} classes",
            dir.display()
        ));
    }
    let names = match named {
        Some((_, names)) if names.len() >= classes => names,
        Some((path, names)) => {
            let reason = format!("{} names for the {classes} classes in {}", names.len(), dir.display());
            return Err(Error::file(path, reason));
        }
        None => numbered(classes + usize::from(first)).split_off(usize::from(first)),
    };
    dataset(dir, parts, first, names, notes)
}

/// The data set called `name` in the table of published ones. `hint` says where its files come from.
///
/// # Errors
/// When its files are not there, or are those of another data set.
pub(super) fn published(name: &str, classes: &[&str], dir: &Path, hint: &str) -> Result<Dataset> {
    let dir = inside(name, dir);
    let files = Files::find(&dir, "").ok_or_else(|| Files::missing(&dir, "", hint))?;
    let parts = [files.train.read()?, files.test.read()?];
    let Some(own) = PUBLISHED.iter().find(|p| p.name == name) else {
        return Err(Error::setting("dataset", Some(name), "is no data set"));
    };
    let found = refuse_others(&files, &parts[0], own.title, Some(name))?;
    for (part, labels) in [(&files.train, &parts[0].labels), (&files.test, &parts[1].labels)] {
        let last = classes.len() - 1;
        if let Some(label) = labels.iter().find(|l| usize::from(**l) > last) {
            let reason = match range(&[&parts[0], &parts[1]]) {
                (1, 26) => {
                    "these are letters, labels from 1 to 26, as in EMNIST; `dataset` emnist reads them"
                        .to_string()
                }
                (from, to) => format!(
                    "labels go from {from} to {to}; `dataset` emnist reads its files, idx those of any classes"
                ),
            };
            let title = own.title;
            return Err(Error::file(
                &part.labels,
                format!("label {label} is not a class of {title}, 0 to {last}: {reason}"),
            ));
        }
    }
    let mut notes = Vec::new();
    if !found {
        notes.push(format!(
            "the files in {} are not those of {} as published; its classes are taken for theirs ('{}' for 0), and `dataset` idx takes numbers",
            dir.display(), own.title, classes[0]
        ));
    }
    dataset(&dir, parts, 0, classes.iter().map(|c| c.to_string()).collect(), notes)
}

/// The published data set whose training labels these are.
fn known(train: &Part) -> Option<&'static Published> {
    let begins = |p: &Published| {
        train.labels.len() == p.images && !p.begins.is_empty() && train.labels.starts_with(p.begins)
    };
    PUBLISHED.iter().find(|p| train.md5 == p.md5 || begins(p))
}

/// Whether the files are those published as `own`, a name of the table, which people call `title`.
///
/// # Errors
/// When they are those of another data set.
pub(super) fn refuse_others(files: &Files, train: &Part, title: &str, own: Option<&str>) -> Result<bool> {
    match known(train) {
        Some(other) if own != Some(other.name) => {
            let reason = format!(
                "these are the labels of {}, not {title}: `dataset` {} reads them",
                other.title, other.name
            );
            Err(Error::file(&files.train.labels, reason))
        }
        found => Ok(found.is_some()),
    }
}

/// The folder given, or that of the cache.
pub(super) fn folder(name: &str, options: &DataOptions) -> Result<PathBuf> {
    options.data_dir.clone().map_or_else(|| fetch::cache(name), Ok)
}

/// The folder of the files: `dir`, or where torchvision puts them in it.
pub(super) fn inside(name: &str, dir: &Path) -> PathBuf {
    let torchvision = PUBLISHED.iter().find(|p| p.name == name).map_or("EMNIST", |p| p.torchvision);
    let raw = [dir.join(torchvision).join("raw"), dir.join("raw")];
    raw.into_iter().find(|d| d.is_dir() && !has_files(dir)).unwrap_or(dir.into())
}

fn has_files(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|listed| listed.flatten().any(|e| e.path().is_file()))
}

/// The files of a data set.
pub(super) struct Files {
    pub train: Pair,
    pub test: Pair,
}

/// Images and labels.
pub(super) struct Pair {
    images: PathBuf,
    pub labels: PathBuf,
}

/// What is in a pair of files.
pub(super) struct Part {
    size: (usize, usize, usize),
    images: Vec<u8>,
    pub labels: Vec<u8>,
    /// The MD5 sum of the file of labels as it is.
    md5: String,
}

impl Files {
    /// The four files in `dir`, whose names begin with `prefix`; `None` when one of them is not there.
    pub fn find(dir: &Path, prefix: &str) -> Option<Self> {
        let file = |part: &str, kind: &str, format: &str| {
            // The second spelling is what some programs make of the first when they unpack it.
            let names = ['-', '.'].map(|dot| format!("{prefix}{part}-{kind}{dot}{format}"));
            let files = names.iter().flat_map(|name| [format!("{name}.gz"), name.clone()]);
            files.map(|name| dir.join(name)).find(|path| path.is_file())
        };
        let pair = |part: &str| {
            Some(Pair {
                images: file(part, "images", "idx3-ubyte")?,
                labels: file(part, "labels", "idx1-ubyte")?,
            })
        };
        Some(Files { train: pair("train")?, test: pair("t10k").or_else(|| pair("test"))? })
    }

    /// That not all are there.
    pub fn missing(dir: &Path, prefix: &str, hint: &str) -> Error {
        let wanted = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
        let is_there = |name: &&str| {
            let listed = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let begin = format!("{prefix}{name}");
            let spelled =
                |n: String| n.starts_with(&begin) || n.replacen(".idx", "-idx", 1).starts_with(&begin);
            listed.map(|e| e.file_name().to_string_lossy().into_owned()).any(spelled)
        };
        let first = wanted.iter().find(|name| !is_there(name)).unwrap_or(&wanted[0]);
        Error::file(
            &dir.join(format!("{prefix}{first}-ubyte")),
            format!("not found, with .gz or without; {hint}"),
        )
    }
}

impl Pair {
    /// Reads both.
    ///
    /// # Errors
    /// When they are not images and their labels.
    pub fn read(&self) -> Result<Part> {
        let images = idx::read(&self.images)?;
        let bytes = files::read(&self.labels)?;
        let md5 = Md5::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let labels =
            files::plain(bytes).and_then(idx::parse).map_err(|reason| Error::file(&self.labels, reason))?;
        let &[n, h, w] = &images.dims[..] else {
            let reason = format!("images have dimensions {:?}, [N, H, W] is expected", images.dims);
            return Err(Error::file(&self.images, reason));
        };
        if n == 0 || h == 0 || w == 0 {
            return Err(Error::file(&self.images, format!("no images in it (dimensions {:?})", images.dims)));
        }
        if labels.dims != [n] {
            let reason = format!("labels have dimensions {:?} for {n} images", labels.dims);
            return Err(Error::file(&self.labels, reason));
        }
        Ok(Part { size: (h, w, 1), images: images.values, labels: labels.values, md5 })
    }
}

/// The least and the largest label.
pub(super) fn range(parts: &[&Part]) -> (u8, u8) {
    let labels = || parts.iter().flat_map(|part| part.labels.iter().copied());
    (labels().min().unwrap_or(0), labels().max().unwrap_or(0))
}

/// The data set of a training and a test part whose labels count from `first`.
///
/// # Errors
/// When their images are of two sizes.
pub(super) fn dataset(
    dir: &Path,
    parts: [Part; 2],
    first: u8,
    class_names: Vec<String>,
    notes: Vec<String>,
) -> Result<Dataset> {
    let [train, test] = parts.map(|part| {
        ImageSet::new(
            part.size,
            Pixels::Bytes(part.images),
            part.labels.into_iter().map(|l| u32::from(l - first)).collect(),
        )
    });
    if train.size != test.size {
        let reason = format!("test images are {:?}, training images {:?}", test.size, train.size);
        return Err(Error::file(dir, reason));
    }
    let mut data = Dataset::new(train, test, class_names)?;
    data.notes = notes;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::load;

    /// Four files of tiny images in `dir`, whose names have `dot` before the format.
    fn write(dir: &Path, prefix: &str, dot: char, test: &str, label: impl Fn(usize) -> u8, n: usize) {
        let idx = |dims: &[usize], values: Vec<u8>| {
            let dims_of = dims.iter().flat_map(|d| (*d as u32).to_be_bytes());
            [0, 0, 8, dims.len() as u8].into_iter().chain(dims_of).chain(values).collect::<Vec<u8>>()
        };
        for (part, n) in [("train", n), (test, 20)] {
            let images = idx(&[n, 1, 2], vec![7; 2 * n]);
            std::fs::write(dir.join(format!("{prefix}{part}-images{dot}idx3-ubyte")), images).unwrap();
            let labels = idx(&[n], (0..n).map(&label).collect());
            std::fs::write(dir.join(format!("{prefix}{part}-labels{dot}idx1-ubyte")), labels).unwrap();
        }
    }

    fn options(dir: &Path) -> DataOptions {
        DataOptions { data_dir: Some(dir.into()), ..DataOptions::default() }
    }

    #[test]
    fn published_files_are_told_apart_by_their_labels() {
        let dir = tempfile::tempdir().unwrap();
        let at = options(dir.path());
        let begins = PUBLISHED[0].begins;
        write(dir.path(), "", '.', "t10k", |i| begins[i % begins.len()], 60_000);
        let mnist = load("mnist", &at).unwrap();
        assert!(mnist.notes.is_empty() && mnist.class_names == numbered(10), "{:?}", mnist.notes);
        let any = load("idx", &at).unwrap();
        assert!(any.notes.len() == 1 && any.notes[0].contains("labels of MNIST"), "{:?}", any.notes);
        for other in ["fashion-mnist", "kmnist", "emnist"] {
            let e = load(other, &at).unwrap_err().to_string();
            assert!(e.contains("labels of MNIST") && e.contains("`dataset` mnist"), "{e}");
        }
        // Files that nobody knows are read, with a line.
        write(dir.path(), "", '.', "t10k", |i| (i % 10) as u8, 60_000);
        let unknown = load("fashion-mnist", &at).unwrap();
        assert!(
            unknown.notes[0].contains("not those of Fashion-MNIST")
                && unknown.class_names[0] == "T-shirt/top"
        );
    }

    #[test]
    fn labels_that_count_from_one_lose_no_class() {
        let dir = tempfile::tempdir().unwrap();
        let mut at = options(dir.path());
        write(dir.path(), "", '-', "t10k", |i| (i % 3) as u8 + 1, 30);
        let data = load("idx", &at).unwrap();
        assert_eq!(
            (data.class_names, data.train.labels[..3].to_vec()),
            (["1", "2", "3"].map(String::from).to_vec(), vec![0, 1, 2])
        );
        assert!(data.notes[0].contains("from 1"), "{:?}", data.notes);
        let names = dir.path().join("names.txt");
        std::fs::write(&names, "a\nb\n").unwrap();
        at.class_names = Some(names.clone());
        let e = load("idx", &at).unwrap_err().to_string();
        assert!(e.contains("names.txt") && e.contains("2 names for the 3 classes"), "{e}");
        std::fs::write(&names, "a\nb\nc\n").unwrap();
        assert_eq!(load("idx", &at).unwrap().class_names, ["a", "b", "c"]);
        write(dir.path(), "", '-', "t10k", |i| (i % 3) as u8, 30);
        let data = load("idx", &at).unwrap();
        assert!(data.notes.is_empty() && data.train.labels[..3] == [0, 1, 2]);
    }

    #[test]
    fn emnist_has_splits() {
        let dir = tempfile::tempdir().unwrap();
        let mut at = options(dir.path());
        write(dir.path(), "emnist-letters-", '-', "test", |i| (i % 26) as u8 + 1, 52);
        let letters = load("emnist", &at).unwrap();
        assert_eq!(
            (letters.classes(), &letters.class_names[25][..], letters.train.labels[25]),
            (26, "z", 25)
        );
        assert!(letters.notes.iter().all(|n| n.contains("as published")), "{:?}", letters.notes);
        write(dir.path(), "emnist-balanced-", '-', "test", |i| (i % 47) as u8, 94);
        let e = load("emnist", &at).unwrap_err().to_string();
        assert!(e.contains("`emnist-split`") && e.contains("balanced, letters"), "{e}");
        at.emnist_split = Some("balanced".into());
        let balanced = load("emnist", &at).unwrap();
        assert_eq!((balanced.classes(), &balanced.class_names[46][..]), (47, "t"));
        at.emnist_split = Some("digits".into());
        let e = load("emnist", &at).unwrap_err().to_string();
        assert!(e.contains("emnist-digits-train-images-idx3-ubyte: not found"), "{e}");
        // Names that do not tell the split.
        let plain = tempfile::tempdir().unwrap();
        write(plain.path(), "", '-', "t10k", |i| (i % 26) as u8 + 1, 52);
        let data = load("emnist", &options(plain.path())).unwrap();
        assert!(data.classes() == 26 && data.notes[0].contains("read as letters"), "{:?}", data.notes);
        let e = load("fashion-mnist", &options(plain.path())).unwrap_err().to_string();
        assert!(e.contains("label 11") || e.contains("label 10"), "{e}");
        assert!(e.contains("letters") && e.contains("`dataset` emnist"), "{e}");
    }

    #[test]
    fn torchvisions_folders_are_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("FashionMNIST/raw");
        std::fs::create_dir_all(&raw).unwrap();
        write(&raw, "", '-', "t10k", |i| (i % 10) as u8, 30);
        assert_eq!(load("fashion-mnist", &options(dir.path())).unwrap().train.len(), 30);
        assert!(load("kmnist", &options(dir.path())).unwrap_err().to_string().contains("not found"));
    }
}
