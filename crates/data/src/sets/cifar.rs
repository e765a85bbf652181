//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images") in their binary version:
//! records of the label, or of the coarse and the fine label, and 3×32×32 bytes, channel by channel.

use super::numbered;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use crate::{fetch, files};
use std::path::{Path, PathBuf};

/// One of the two.
struct Kind {
    name: &'static str,
    classes: u32,
    /// Label bytes in front of an image; the last one is the class.
    labels: usize,
    /// The folder inside the published archive.
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
}

const CIFAR10: Kind = Kind {
    name: "cifar10",
    classes: 10,
    labels: 1,
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    names: "batches.meta.txt",
};

const CIFAR100: Kind = Kind {
    name: "cifar100",
    classes: 100,
    labels: 2,
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

pub(super) fn load10(options: &DataOptions) -> Result<Dataset> {
    load(&CIFAR10, options)
}

pub(super) fn load100(options: &DataOptions) -> Result<Dataset> {
    load(&CIFAR100, options)
}

fn load(kind: &Kind, options: &DataOptions) -> Result<Dataset> {
    let dir = folder(kind, options)?;
    let read = |names: &[&str]| -> Result<ImageSet> {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for name in names {
            let path = dir.join(name);
            let bytes = files::read(&path)?;
            records(&bytes, kind.labels, kind.classes, &mut images, &mut labels)
                .map_err(|e| Error::file(&path, e))?;
        }
        Ok(ImageSet::new((SIDE, SIDE, 3), Pixels::Bytes(images), labels))
    };
    Ok(Dataset::new(read(kind.train)?, read(&[kind.test])?, class_names(kind, &dir))?)
}

/// The folder named, or the archive's own folder in it; without one, where `sph data fetch` puts the files.
fn folder(kind: &Kind, options: &DataOptions) -> Result<PathBuf> {
    let dir = match &options.data_dir {
        Some(dir) => dir.clone(),
        None => fetch::cache(kind.name)?,
    };
    let inner = dir.join(kind.folder);
    if [&dir, &inner].iter().all(|d| !d.join(kind.test).is_file()) {
        let reason = format!(
            "not found, nor in {}/; fetch the files with: sph data fetch {}, or name the folder of the binary version's files \
             with `data-dir`",
            kind.folder, kind.name
        );
        return Err(Error::file(&dir.join(kind.test), reason));
    }
    Ok(if dir.join(kind.test).is_file() { dir } else { inner })
}

/// The published names where their file is there, else numbers.
fn class_names(kind: &Kind, dir: &Path) -> Vec<String> {
    let bytes = files::read(&dir.join(kind.names)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let names: Vec<String> = text.lines().map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect();
    if names.len() == kind.classes as usize { names } else { numbered(kind.classes as usize) }
}

/// Appends the records in `bytes`, each of `labels` label bytes and an image, to NHWC `images` and their classes.
///
/// # Errors
/// When there is no whole number of records, none, or a label is not below `classes`.
pub fn records(
    bytes: &[u8],
    labels: usize,
    classes: u32,
    images: &mut Vec<u8>,
    targets: &mut Vec<u32>,
) -> std::result::Result<(), String> {
    let record = labels + 3 * PLANE;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let n = bytes.len();
        return Err(format!("{n} bytes are not a whole number of CIFAR records of {record} bytes"));
    }
    images.reserve_exact(bytes.len() / record * 3 * PLANE);
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let label = u32::from(record[labels - 1]);
        if label >= classes {
            return Err(format!("label {label} of record {i} is not a class from 0 to {}", classes - 1));
        }
        targets.push(label);
        let planes = &record[labels..];
        images.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` records in the published format; the image's bytes tell channel and pixel. A coarse label is another than the fine one.
    fn file(n: usize, labels: usize, classes: usize) -> Vec<u8> {
        let record = |i: usize| {
            let label = (0..labels).rev().map(move |coarse| ((i + 7 * coarse) % classes) as u8);
            label.chain((0..3 * PLANE).map(move |p| (i + p / PLANE * 50 + p % PLANE % 40) as u8))
        };
        (0..n).flat_map(record).collect()
    }

    #[test]
    fn both_kinds_are_read_from_their_archives_folder() {
        let dir = tempfile::tempdir().unwrap();
        for (kind, load) in [(CIFAR10, load10 as fn(&DataOptions) -> Result<Dataset>), (CIFAR100, load100)] {
            let inner = dir.path().join(kind.folder);
            std::fs::create_dir(&inner).unwrap();
            for name in kind.train {
                std::fs::write(inner.join(name), file(3, kind.labels, kind.classes as usize)).unwrap();
            }
            std::fs::write(inner.join(kind.test), file(2, kind.labels, kind.classes as usize)).unwrap();
            let options = DataOptions { data_dir: Some(dir.path().into()), ..DataOptions::default() };
            let data = load(&options).unwrap();
            assert_eq!((data.train.len(), data.test.len()), (3 * kind.train.len(), 2));
            assert_eq!((data.classes(), &data.train.labels[..3]), (kind.classes as usize, &[0, 1, 2][..]));
            // Record 2, row 1, column 9 is pixel 41.
            let at = 2 * 3 * PLANE + 41 * 3;
            assert_eq!(data.train.images.bytes().unwrap()[at..at + 3], [3, 53, 103]);
            let names: Vec<String> = (0..kind.classes).map(|i| format!("name {i}")).collect();
            std::fs::write(inner.join(kind.names), names.join("\n")).unwrap();
            assert_eq!(load(&options).unwrap().class_names, names);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let parse = |b: &[u8]| records(b, 1, 10, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(parse(&file(2, 1, 10)[..5000]).contains("5000 bytes"));
        assert!(parse(&[]).contains("0 bytes"));
        assert!(parse(&file(12, 1, 12)).contains("label 10 of record 10"));
    }
}
