//! A folder of JPEG and PNG files: `train/CLASS/FILE` and `test/CLASS/FILE` (or `val/`), or `CLASS/FILE` alone, which
//! `test-fraction` splits.
//!
//! Classes are the folders' names, Unicode without control characters, in the order of their bytes. Files of other kinds, hidden ones, and folders inside a class are
//! left alone. All images are decoded when the set is read, on all cores, and held as bytes; see [`MAX_DECODED`].

use super::split_test;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use crate::formats::image_file::decode;
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use crate::preprocess::Preprocessing;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Decoded images of a data set together take no more bytes: 16 GiB.
pub const MAX_DECODED: u64 = 16 << 30;

/// Files and their classes.
type Files = Vec<(PathBuf, u32)>;

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = options.data_dir.as_deref();
    let dir = dir.ok_or_else(|| Error::setting("data-dir", None, "is needed by the data set 'folder'"))?;
    let how = Preprocessing::of(options)?;
    let parts = ["train", "test", "val"].map(|part| dir.join(part));
    let [train, tests @ ..] = &parts;
    let test = tests.iter().find(|t| t.is_dir());
    if !train.is_dir() {
        if let Some(test) = test {
            return Err(Error::file(train, format!("not found, but {} is there", test.display())));
        }
        let (names, found) = classes(dir)?;
        let all = read(&found, None, how)?;
        return split_test(dir, all, names, options);
    }
    let test = test.ok_or_else(|| {
        Error::file(&parts[1], "not found; a train folder needs a test or val folder beside it")
    })?;
    if options.test_fraction.is_some() {
        let reason = format!("{} has test images already", dir.display());
        return Err(Error::setting("test-fraction", None, reason));
    }
    let (names, train_files) = classes(train)?;
    let (test_names, test_files) = classes(test)?;
    if let Some(other) = test_names.iter().find(|n| !names.contains(n)) {
        return Err(Error::file(
            &test.join(other),
            format!("a class that {} does not have", train.display()),
        ));
    }
    // A class without test images is no mistake: numbers are those of the training classes.
    let number = |c: u32| names.iter().position(|n| *n == test_names[c as usize]).unwrap_or(0) as u32;
    let test_files: Files = test_files.into_iter().map(|(path, c)| (path, number(c))).collect();
    let train = read(&train_files, None, how)?;
    let test = read(&test_files, Some(train.size), how)?;
    Ok(Dataset::new(train, test, names)?)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(dir).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
    let mut listed: Vec<PathBuf> = listed.map_err(|e| Error::file(dir, e.to_string()))?;
    listed.retain(|p| p.file_name().is_some_and(|n| !n.as_encoded_bytes().starts_with(b".")));
    // The system's order is any.
    listed.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(listed)
}

/// The names of the classes in `dir`, and their files.
fn classes(dir: &Path) -> Result<(Vec<String>, Files)> {
    let (mut names, mut found) = (Vec::new(), Files::new());
    for class in entries(dir)?.into_iter().filter(|p| p.is_dir()) {
        let before = found.len();
        found.extend(entries(&class)?.into_iter().filter(|p| is_image(p)).map(|p| (p, names.len() as u32)));
        if found.len() == before {
            return Err(Error::file(
                &class,
                "no JPEG or PNG file (.jpg, .jpeg, .png) in it; each class has a folder of them",
            ));
        }
        names.push(class_name(&class)?);
    }
    if names.is_empty() {
        return Err(Error::file(
            dir,
            "no class folders in it; images are expected as CLASS/FILE.jpg or .png",
        ));
    }
    Ok((names, found))
}

/// What a class is called goes into files and tables as it is, and tells it from the others.
fn class_name(folder: &Path) -> Result<String> {
    let name = folder.file_name().and_then(|n| n.to_str()).filter(|n| !n.contains(char::is_control));
    let reason = "a class is called like its folder, and this name is not Unicode or holds a control character; rename it";
    name.map(String::from).ok_or_else(|| Error::file(folder, reason))
}

fn is_image(path: &Path) -> bool {
    let known = |e: &std::ffi::OsStr| ["jpg", "jpeg", "png"].iter().any(|k| e.eq_ignore_ascii_case(k));
    path.extension().is_some_and(known) && path.is_file()
}

/// Decodes files on all cores. Images become squares by `how`, or must have one size: that of `expected`, or of the first one.
fn read(found: &Files, expected: Option<(usize, usize, usize)>, how: Preprocessing) -> Result<ImageSet> {
    let decoded = |path: &Path| -> Result<((usize, usize), Vec<u8>)> {
        let picture = decode(&files::read(path)?).and_then(|picture| how.apply(picture, 3));
        picture.map_err(|e| Error::file(path, e))
    };
    let size = match (how.side(), expected) {
        (Some(side), _) => (side, side, 3),
        (None, Some(size)) => size,
        (None, None) => {
            let (h, w) = decoded(&found[0].0)?.0;
            (h, w, 3)
        }
    };
    let len = size.0 * size.1 * size.2;
    let bytes = found.len() as u64 * len as u64;
    if bytes > MAX_DECODED {
        let (n, gib) = (found.len(), bytes >> 30);
        let limit = MAX_DECODED >> 30;
        let reason = format!(
            "makes {n} images of {}×{} pixels, which need {gib} GiB of memory, more than the limit of {limit}; choose a smaller one",
            size.0, size.1
        );
        return Err(Error::setting("image-size", None, reason));
    }
    let one = |path: &Path, out: &mut [u8]| -> Result<()> {
        let ((h, w), bytes) = decoded(path)?;
        if (h, w) != (size.0, size.1) {
            let way = if how == Preprocessing::None { "image-size" } else { "crop" };
            let reason =
                format!("{h}×{w} pixels, others have {}×{}; `{way}` makes them alike", size.0, size.1);
            return Err(Error::file(path, reason));
        }
        out.copy_from_slice(&bytes);
        Ok(())
    };
    let mut images = vec![0u8; bytes as usize];
    let work = Mutex::new(found.iter().zip(images.chunks_exact_mut(len)).enumerate());
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let next = || work.lock().ok().and_then(|mut w| w.next());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((i, ((path, _), out))) = next() {
                    let Err(e) = one(path, out) else { continue };
                    // The first file in order, whichever thread was first: those before it are under way already.
                    if let Ok(mut failed) = failed.lock()
                        && failed.as_ref().is_none_or(|(first, _)| i < *first)
                    {
                        *failed = Some((i, e));
                    }
                    return;
                }
            });
        }
    });
    if let Some((_, e)) = failed.into_inner().ok().flatten() {
        return Err(e);
    }
    Ok(ImageSet { size, images: Pixels::Bytes(images), labels: found.iter().map(|f| f.1).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::image_file::tests::file;
    use image::ImageFormat;

    /// Classes "b" and "a", three PNGs each of one colour, beside things that are no images.
    fn folder(dir: &Path) {
        for (class, level) in [("b", 200), ("a", 100)] {
            let dir = dir.join(class);
            std::fs::create_dir_all(dir.join("sub")).unwrap();
            std::fs::write(dir.join(".hidden.png"), "x").unwrap();
            std::fs::write(dir.join("notes.txt"), "x").unwrap();
            for i in 0..3 {
                let png = file(6, 4, ImageFormat::Png, |_, _| [level + i; 3]);
                std::fs::write(dir.join(format!("{i}.PNG")), png).unwrap();
            }
        }
    }

    fn options(dir: &Path, image_size: Option<usize>) -> DataOptions {
        DataOptions { data_dir: Some(dir.into()), image_size, ..DataOptions::default() }
    }

    #[test]
    fn train_and_test_folders() {
        let dir = tempfile::tempdir().unwrap();
        folder(&dir.path().join("train"));
        folder(&dir.path().join("val"));
        // Numbers are those of the training classes, also where a class has no test images.
        std::fs::remove_dir_all(dir.path().join("val/a")).unwrap();
        let data = load(&options(dir.path(), Some(2))).unwrap();
        assert_eq!(
            (data.class_names.clone(), data.train.size),
            (vec!["a".to_string(), "b".into()], (2, 2, 3))
        );
        assert_eq!(
            (&data.train.labels[..], &data.test.labels[..]),
            (&[0, 0, 0, 1, 1, 1][..], &[1, 1, 1][..])
        );
        let first: Vec<u8> = data.train.images.bytes().unwrap().chunks(12).map(|image| image[5]).collect();
        assert_eq!(first, [100, 101, 102, 200, 201, 202]);
        assert_eq!(load(&options(dir.path(), None)).unwrap().train.size, (4, 6, 3));
        std::fs::create_dir(dir.path().join("val/c")).unwrap();
        assert!(load(&options(dir.path(), None)).unwrap_err().to_string().contains("no JPEG or PNG file"));
        std::fs::write(dir.path().join("val/c/1.jpg"), file(6, 4, ImageFormat::Jpeg, |_, _| [0; 3])).unwrap();
        let e = load(&options(dir.path(), None)).unwrap_err().to_string();
        assert!(e.contains("val/c") && e.contains("does not have"), "{e}");
    }

    #[test]
    fn a_single_set_is_split() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let e = load(&options(dir.path(), None)).unwrap_err().to_string();
        assert!(e.contains("`test-fraction`"), "{e}");
        let fraction = DataOptions { test_fraction: Some(0.4), ..options(dir.path(), None) };
        let data = load(&fraction).unwrap();
        assert_eq!((data.train.labels.clone(), data.test.labels.clone()), (vec![0, 0, 1, 1], vec![0, 1]));
        std::fs::write(dir.path().join("a/3.jpeg"), file(5, 4, ImageFormat::Jpeg, |_, _| [0; 3])).unwrap();
        let e = load(&fraction).unwrap_err().to_string();
        assert!(e.contains("a/3.jpeg: 4×5 pixels, others have 4×6") && e.contains("`image-size`"), "{e}");
        std::fs::write(dir.path().join("a/1.PNG"), "<html>").unwrap();
        let e = load(&fraction).unwrap_err().to_string();
        assert!(e.contains("a/1.PNG: neither"), "the first file that is wrong: {e}");
    }
}
