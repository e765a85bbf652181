//! A folder of pictures: `train/CLASS/FILE` and `test/CLASS/FILE` (or `val/`), or `CLASS/FILE` alone, which
//! `test-fraction` splits.
//!
//! Classes are the folders' names, Unicode without control characters, in the order of their bytes. Files of other kinds and folders inside a class
//! are left out and counted, hidden ones are left alone. All images are decoded when the set is read, on all cores, and held as bytes, or as
//! floats where one of them has more than 8 bits; see [`MAX_DECODED`].

use super::split_test;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use crate::formats::image_file::{Decoded, KINDS, decode};
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use crate::pictures::{LeftOut, entries, in_folder, listed};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Decoded images of a data set together take no more bytes: 16 GiB.
pub const MAX_DECODED: u64 = 16 << 30;

/// Files and their classes.
type Files = Vec<(PathBuf, u32)>;

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = options.data_dir.as_deref();
    let dir = dir.ok_or_else(|| Error::setting("data-dir", None, "is needed by the data set 'folder'"))?;
    let parts = ["train", "test", "val"].map(|part| dir.join(part));
    let [train, tests @ ..] = &parts;
    let test = tests.iter().find(|t| t.is_dir());
    if !train.is_dir() {
        if let Some(test) = test {
            return Err(Error::file(train, format!("not found, but {} is there", test.display())));
        }
        let mut met = Met::default();
        let (names, found) = classes(dir, &mut met.left_out)?;
        let all = read(&found, None, options, &mut met)?;
        each_has_images(&all, &names, dir)?;
        let data = split_test(dir, all, names, options.test_fraction)?;
        return Ok(Dataset { notes: met.notes(dir), ..data });
    }
    let test = test.ok_or_else(|| {
        Error::file(&parts[1], "not found; a train folder needs a test or val folder beside it")
    })?;
    if options.test_fraction.is_some() {
        let reason = format!("{} has test images already", dir.display());
        return Err(Error::setting("test-fraction", None, reason));
    }
    let mut met = Met::default();
    let (names, train_files) = classes(train, &mut met.left_out)?;
    let (test_names, test_files) = classes(test, &mut met.left_out)?;
    if let Some(other) = test_names.iter().find(|n| !names.contains(n)) {
        return Err(Error::file(
            &test.join(other),
            format!("a class that {} does not have", train.display()),
        ));
    }
    // A class without test images is no mistake: numbers are those of the training classes.
    let number = |c: u32| names.iter().position(|n| *n == test_names[c as usize]).unwrap_or(0) as u32;
    let test_files: Files = test_files.into_iter().map(|(path, c)| (path, number(c))).collect();
    let train_set = read(&train_files, None, options, &mut met)?;
    each_has_images(&train_set, &names, train)?;
    let test_set = read(&test_files, Some(train_set.size), options, &mut met)?;
    Ok(Dataset { notes: met.notes(dir), ..Dataset::new(train_set, test_set, names)? })
}

/// Refuses a class that only broken files were found for.
fn each_has_images(set: &ImageSet, names: &[String], dir: &Path) -> Result<()> {
    let mut there = vec![false; names.len()];
    set.labels.iter().for_each(|class| there[*class as usize] = true);
    let without = names.iter().zip(there).find(|(_, there)| !there);
    without.map_or(Ok(()), |(name, _)| Err(Error::file(&dir.join(name), "every picture in it is broken")))
}

/// The names of the classes in `dir`, and their files.
fn classes(dir: &Path, left_out: &mut LeftOut) -> Result<(Vec<String>, Files)> {
    let (mut names, mut found) = (Vec::new(), Files::new());
    for class in entries(dir)?.into_iter().filter(|p| p.is_dir()) {
        let before = found.len();
        found.extend(in_folder(&class, left_out)?.into_iter().map(|p| (p, names.len() as u32)));
        if found.len() == before {
            return Err(Error::file(
                &class,
                format!("no picture in it ({KINDS}); each class has a folder of them"),
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

/// What was met when the files were read.
#[derive(Default)]
struct Met {
    left_out: LeftOut,
    /// Files that could not be read, and why.
    broken: Vec<(PathBuf, String)>,
    /// Files of several pictures.
    several: Vec<PathBuf>,
    /// The least and the largest value, where some have more than 8 bits.
    range: Option<(f32, f32)>,
}

impl Met {
    /// What a user should know of it, a line each.
    fn notes(&self, dir: &Path) -> Vec<String> {
        let (at, name) =
            (dir.display(), |path: &Path| path.strip_prefix(dir).unwrap_or(path).display().to_string());
        let mut notes: Vec<String> = self.left_out.note(dir).into_iter().collect();
        if !self.broken.is_empty() {
            let files = listed(self.broken.iter().map(|(path, why)| format!("{} ({why})", name(path))));
            notes.push(format!(
                "{at}: pictures that cannot be read are left out ({}): {files}",
                self.broken.len()
            ));
        }
        if !self.several.is_empty() {
            let files = listed(self.several.iter().map(|path| name(path)));
            notes.push(format!("{at}: of files that hold several pictures the first is read: {files}"));
        }
        // Less than a sixteenth of the scale: not even 12 of 16 bits.
        if let Some((least, most)) = self.range.filter(|(least, most)| most - least < 255.0 / 16.0) {
            let [least, most] = [least, most].map(|v| (v * 257.0).round());
            notes.push(format!(
                "{at}: all values are from {least} to {most} of 65535; 16-bit pictures have one scale with 8-bit ones, 65535 being white"
            ));
        }
        notes
    }
}

/// Decodes files on all cores. Images are made `image_size`×`image_size`, or must have one size: that of `expected`, or of the first one.
fn read(
    found: &Files,
    expected: Option<(usize, usize, usize)>,
    options: &DataOptions,
    met: &mut Met,
) -> Result<ImageSet> {
    let side = options.image_size;
    let decoded = |path: &Path| -> Result<Decoded> {
        decode(&files::read(path)?, !options.no_exif).map_err(|e| Error::file(path, e))
    };
    let size = match (side, expected) {
        (Some(side), _) => (side, side, 3),
        (None, Some(size)) => size,
        (None, None) => {
            let mut all = found.iter().map(|(path, _)| decoded(path));
            let first = match options.skip_broken {
                true => all.find(Result::is_ok),
                false => all.next(),
            };
            let (h, w) = first.map_or(Ok((0, 0)), |image| image.map(|i| i.size()))?;
            (h, w, 3)
        }
    };
    let len = size.0 * size.1 * size.2;
    let check = |images: usize, bytes_each: usize| {
        let bytes = images as u64 * (len * bytes_each) as u64;
        if bytes <= MAX_DECODED {
            return Ok(bytes);
        }
        let (gib, limit) = (bytes >> 30, MAX_DECODED >> 30);
        let reason = format!(
            "makes {images} images of {}×{} pixels, which need {gib} GiB of memory, more than the limit of {limit}; choose a smaller one",
            size.0, size.1
        );
        Err(Error::setting("image-size", None, reason))
    };
    let mut images = vec![0u8; check(found.len(), 1)? as usize];
    /// What is not just bytes in their place, by the images' numbers.
    #[derive(Default)]
    struct Others {
        broken: Vec<(usize, String)>,
        several: Vec<usize>,
        deep: Vec<(usize, Vec<f32>)>,
    }
    let others = Mutex::new(Others::default());
    let met_others = || others.lock().unwrap_or_else(|e| e.into_inner());
    let one = |i: usize, path: &Path, out: &mut [u8]| -> Result<()> {
        let mut image = match decoded(path) {
            Err(Error::File { reason, .. }) if options.skip_broken => {
                met_others().broken.push((i, reason));
                return Ok(());
            }
            image => image?,
        };
        if image.first_of_several {
            met_others().several.push(i);
        }
        match side {
            Some(side) => image = image.square(side),
            None if image.size() != (size.0, size.1) => {
                let (h, w) = image.size();
                let reason = format!(
                    "{h}×{w} pixels, others have {}×{}; `image-size` makes them alike",
                    size.0, size.1
                );
                return Err(Error::file(path, reason));
            }
            None => {}
        }
        match image.into_pixels(size.2).map_err(|e| Error::file(path, e))? {
            Pixels::Bytes(values) => out.copy_from_slice(&values),
            Pixels::Floats(values) => {
                // One of them makes floats of all.
                check(found.len(), size_of::<f32>())?;
                met_others().deep.push((i, values));
            }
        }
        Ok(())
    };
    let work = found.par_iter().zip(images.par_chunks_exact_mut(len.max(1))).enumerate();
    // The first file in order, whichever core was first.
    if let Some(e) = work.find_map_first(|(i, ((path, _), out))| one(i, path, out).err()) {
        return Err(e);
    }
    let mut others = others.into_inner().unwrap_or_else(|e| e.into_inner());
    let images = match others.deep.is_empty() {
        true => Pixels::Bytes(images),
        false => {
            let mut values: Vec<f32> = images.into_iter().map(f32::from).collect();
            others.deep.iter().for_each(|(i, deep)| values[i * len..][..len].copy_from_slice(deep));
            Pixels::Floats(values)
        }
    };
    others.broken.sort_unstable();
    others.several.sort_unstable();
    met.several.extend(others.several.iter().map(|i| found[*i].0.clone()));
    let set = ImageSet { size, images, labels: found.iter().map(|f| f.1).collect() };
    let set = match others.broken.is_empty() {
        true => set,
        false => {
            let broken = |i: &usize| others.broken.binary_search_by_key(i, |b| b.0).is_ok();
            set.select(&(0..found.len()).filter(|i| !broken(i)).collect::<Vec<_>>())
        }
    };
    met.broken.extend(others.broken.into_iter().map(|(i, why)| (found[i].0.clone(), why)));
    if let Pixels::Floats(values) = &set.images {
        let all = values.iter().chain(met.range.iter().flat_map(|(least, most)| [least, most]));
        let range = all.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        met.range = Some(range);
    }
    Ok(set)
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
        assert!(load(&options(dir.path(), None)).unwrap_err().to_string().contains("no picture in it"));
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
        assert!(e.contains("a/1.PNG: an HTML page"), "the first file that is wrong: {e}");
    }

    #[test]
    fn what_is_left_out_is_said() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let fraction = DataOptions { test_fraction: Some(0.4), ..options(dir.path(), None) };
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        let notes = || load(&fraction).unwrap().notes;
        assert_eq!(notes(), [format!("{}: files are left out; no pictures: 2 .txt", dir.path().display())]);
        // By its content a picture, whatever it is called; too deep.
        write("a/3.photo", &file(6, 4, ImageFormat::Jpeg, |_, _| [9; 3]));
        write("a/4", b"x");
        write("a/sub/1.PNG", b"x");
        assert_eq!(load(&fraction).unwrap().train.len() + load(&fraction).unwrap().test.len(), 7);
        let said = notes().join("\n");
        assert!(said.ends_with("no pictures: 2 .txt, 1 without ending; in folders below class folders: 1 .png (such as a/sub/1.PNG)"), "{said}");
        // Frames behind the first.
        let mut gif = Vec::new();
        let mut to = image::codecs::gif::GifEncoder::new(&mut gif);
        (0..2).for_each(|i| {
            to.encode_frame(image::Frame::new(image::RgbaImage::from_pixel(6, 4, image::Rgba([i * 99; 4]))))
                .unwrap()
        });
        drop(to);
        write("b/5.gif", &gif);
        let said = notes().join("\n");
        assert!(said.ends_with("of files that hold several pictures the first is read: b/5.gif"), "{said}");
    }

    #[test]
    fn broken_pictures_are_left_out_when_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let fraction = DataOptions { test_fraction: Some(0.4), ..options(dir.path(), None) };
        let whole = load(&fraction).unwrap();
        let jpeg = file(60, 40, ImageFormat::Jpeg, |x, y| [(x * y) as u8; 3]);
        // The first of all, too.
        for name in ["a/#.jpg", "b/3.jpg"] {
            std::fs::write(dir.path().join(name), &jpeg[..jpeg.len() / 2]).unwrap();
        }
        let e = load(&fraction).unwrap_err().to_string();
        assert!(e.contains("a/#.jpg: is cut off"), "{e}");
        let skipping = DataOptions { skip_broken: true, ..fraction };
        let data = load(&skipping).unwrap();
        assert_eq!((&data.train, &data.test), (&whole.train, &whole.test));
        assert!(
            data.notes[1].contains("pictures that cannot be read are left out (2): a/#.jpg (is cut off"),
            "{:?}",
            data.notes
        );
        (0..3).for_each(|i| std::fs::write(dir.path().join(format!("b/{i}.PNG")), "").unwrap());
        let e = load(&skipping).unwrap_err().to_string();
        assert!(e.ends_with("b: every picture in it is broken"), "{e}");
    }

    #[test]
    fn one_deep_picture_makes_floats_of_all() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let fraction = DataOptions { test_fraction: Some(0.4), ..options(dir.path(), None) };
        let numbers =
            |set: &ImageSet| set.images.numbers(&(0..set.len()).collect::<Vec<_>>(), set.image_len());
        let bytes = load(&fraction).unwrap();
        // The last of its class, which is tested on.
        let deep = image::ImageBuffer::from_pixel(6, 4, image::Luma([300u16]));
        deep.save(dir.path().join("b/2.PNG")).unwrap();
        let floats = load(&fraction).unwrap();
        assert!(matches!(floats.train.images, Pixels::Floats(_)));
        let all = [numbers(&floats.train), numbers(&floats.test)].concat();
        assert_eq!(all.iter().filter(|v| (**v - 300.0 / 257.0).abs() < 1e-6).count(), 6 * 4 * 3);
        let before = [numbers(&bytes.train), numbers(&bytes.test)].concat();
        let same = before.iter().filter(|v| all.contains(v)).count();
        assert_eq!(same, before.len() - 6 * 4 * 3);
        assert!(!floats.notes.join("").contains("65535"));
        for class in ["a", "b"] {
            (0..3).for_each(|i| deep.save(dir.path().join(format!("{class}/{i}.PNG"))).unwrap());
        }
        let said = load(&fraction).unwrap().notes.join("");
        assert!(said.contains("all values are from 300 to 300 of 65535"), "{said}");
    }
}
