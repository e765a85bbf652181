//! A folder of pictures: `train/CLASS/FILE` and `test/CLASS/FILE` (or `val/`), or `CLASS/FILE` alone, which
//! `test-fraction` splits. In place of a folder per class a CSV file may tell them: `train.csv` beside `train/FILE`, `labels.csv` beside or
//! among the files.
//!
//! Classes are the folders' names, Unicode without control characters, with accents composed (NFC), in the order of their bytes. Files of
//! other kinds and folders inside a class are left out and counted, hidden ones are left alone. All images are decoded when the set is read,
//! on all cores, and held as bytes, or as floats where one of them has more than 8 bits, 16 GiB at most.

use super::split_test;
use crate::classes::{composed, is_name};
use crate::dataset::Dataset;
use crate::decoding::{ReadReport, read};
use crate::error::{Error, Result};
use crate::files;
use crate::formats::image_file::KINDS;
use crate::formats::labels_csv;
use crate::image_set::ImageSet;
use crate::options::DataOptions;
use crate::pictures::{LeftOut, entries, in_folder, is_picture};
use crate::preprocess::Preprocessing;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Files and their classes.
type Files = Vec<(PathBuf, u32)>;

/// The files of each class, in order; a folder may be empty.
type Classes = BTreeMap<String, Vec<PathBuf>>;

/// Folders of images to test on; the first that has classes is the test set.
const TESTS: [&str; 4] = ["test", "val", "valid", "validation"];

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = options.data_dir.as_deref();
    let dir = dir.ok_or_else(|| Error::setting("data-dir", None, "is needed by the data set 'folder'"))?;
    // Settings that do not fit each other are found before any file is read.
    Preprocessing::of(options)?;
    let train_dir = dir.join("train");
    let tests: Vec<PathBuf> = TESTS.iter().map(|part| dir.join(part)).filter(|t| t.is_dir()).collect();
    let mut report = ReadReport::default();
    let alone = |classes, report| single(dir, classes, report, options);
    if !train_dir.is_dir() {
        if let Some(test) = tests.first() {
            return Err(Error::file(&train_dir, format!("not found, but {} is there", test.display())));
        }
        let tables = [dir.join("train.csv"), dir.join("labels.csv")];
        return alone(classes(dir, options.labels_file.as_deref(), &tables, &mut report)?, report);
    }
    let tables = [
        dir.join("train.csv"),
        dir.join("train_labels.csv"),
        dir.join("labels.csv"),
        train_dir.join("labels.csv"),
    ];
    let train = classes(&train_dir, options.labels_file.as_deref(), &tables, &mut report)?;
    let mut test: Option<(&PathBuf, Classes)> = None;
    for other in &tests {
        let found = test_classes(other, &mut report)?;
        match (found, &test) {
            (None, _) => report.lines.push(format!(
                "{} has no classes, neither folders of images nor a CSV file that tells them: it is left out",
                other.display()
            )),
            (Some(found), None) => test = Some((other, found)),
            (Some(_), Some((first, _))) => report.lines.push(format!(
                "{} is not used, as {} is the test set: `val-split` holds out training images",
                other.display(),
                first.display()
            )),
        }
    }
    let Some((test_dir, test)) = test else {
        if options.test_fraction.is_some() || options.whole {
            return alone(train, report);
        }
        let reason = "no folder of images with classes to test on; a train folder needs a test or val folder beside it, or `test-fraction`";
        return Err(Error::file(dir, reason));
    };
    if test_dir.file_name() != Some(TESTS[0].as_ref()) {
        report.lines.push(format!("{} is the test set", test_dir.display()));
    }
    if options.test_fraction.is_some() {
        let reason = format!("{} has test images already", dir.display());
        return Err(Error::setting("test-fraction", None, reason));
    }
    let names: Vec<String> = train.keys().cloned().collect();
    let mut test_files = Files::new();
    for (name, found) in &test {
        let class = names.binary_search(name);
        if found.is_empty() {
            report.lines.push(format!("{} has no images", test_dir.join(name).display()));
        } else if class.is_err() {
            let reason = format!("a class that {} does not have", train_dir.display());
            return Err(Error::file(&test_dir.join(name), reason));
        }
        // Numbers are those of the training classes.
        test_files.extend(found.iter().map(|path| (path.clone(), class.unwrap_or(0) as u32)));
    }
    let train = read(&numbered(&train), None, options, &mut report)?;
    each_has_images(&train, &names, &train_dir)?;
    let test = read(&test_files, Some(train.size), options, &mut report)?;
    let mut data = Dataset::new(train, test, names)?;
    data.notes = report.notes(dir);
    Ok(data)
}

/// Refuses a class that only broken files were found for.
fn each_has_images(set: &ImageSet, names: &[String], dir: &Path) -> Result<()> {
    let mut there = vec![false; names.len()];
    set.labels.iter().for_each(|class| there[*class as usize] = true);
    let without = names.iter().zip(there).find(|(_, there)| !there);
    without.map_or(Ok(()), |(name, _)| Err(Error::file(&dir.join(name), "every picture in it is broken")))
}

/// The data set of one set of files, which `test-fraction` splits.
fn single(dir: &Path, classes: Classes, mut report: ReadReport, options: &DataOptions) -> Result<Dataset> {
    let all = read(&numbered(&classes), None, options, &mut report)?;
    let names: Vec<String> = classes.into_keys().collect();
    each_has_images(&all, &names, dir)?;
    let mut data = split_test(dir, all, names, options)?;
    data.notes = report.notes(dir);
    Ok(data)
}

/// The files with the numbers of their classes.
fn numbered(classes: &Classes) -> Files {
    let of_class = |(class, files): (u32, &Vec<PathBuf>)| {
        files.iter().map(|path| (path.clone(), class)).collect::<Files>()
    };
    (0..).zip(classes.values()).flat_map(of_class).collect()
}

/// The folders in `dir` as classes, with their images; one may have none.
fn folders(dir: &Path, left_out: &mut LeftOut) -> Result<Classes> {
    let mut classes = Classes::new();
    for class in entries(dir)?.into_iter().filter(|p| p.is_dir()) {
        // A name that is spelled in two ways is one class.
        classes.entry(class_name(&class)?).or_default().extend(in_folder(&class, left_out)?);
    }
    Ok(classes)
}

/// The classes of the images to learn from: as the CSV file that the user named tells, else by folders, else as one of `tables` tells.
fn classes(dir: &Path, named: Option<&Path>, tables: &[PathBuf], report: &mut ReadReport) -> Result<Classes> {
    if let Some(table) = named {
        return by_table(table, dir, report);
    }
    let found = folders(dir, &mut report.left_out)?;
    // One folder alone is where the images are, not what they are.
    if found.values().filter(|files| !files.is_empty()).count() < 2
        && let Some(table) = tables.iter().find(|table| table.is_file())
    {
        report.lines.push(format!("{} tells the classes of the images", table.display()));
        return by_table(table, dir, report);
    }
    if let Some(empty) = found.iter().find(|(_, files)| files.is_empty()) {
        let reason = format!("no picture in it ({KINDS}); each class has a folder of them");
        return Err(Error::file(&dir.join(empty.0), reason));
    }
    if found.is_empty() {
        let reason = "no class folders in it; images are expected as CLASS/FILE.jpg or .png, or with a CSV file that tells their classes \
                      (`labels-file`)";
        return Err(Error::file(dir, reason));
    }
    Ok(found)
}

/// The classes of the images in `dir` to test on, by folders or a CSV file; `None` where nothing tells them.
fn test_classes(dir: &Path, report: &mut ReadReport) -> Result<Option<Classes>> {
    let found = folders(dir, &mut report.left_out)?;
    if found.values().any(|files| !files.is_empty()) {
        return Ok(Some(found));
    }
    let mut beside = dir.as_os_str().to_os_string();
    beside.push(".csv");
    let tables = [PathBuf::from(beside), dir.join("labels.csv")];
    let Some(table) = tables.iter().find(|table| table.is_file()) else { return Ok(None) };
    // Competitions give such a file without classes, too.
    match by_table(table, dir, report) {
        Ok(found) => Ok(Some(found)),
        Err(e) => {
            report.lines.push(e.to_string());
            Ok(None)
        }
    }
}

/// The pictures directly in `dir`.
fn images(dir: &Path) -> Result<Vec<PathBuf>> {
    in_folder(dir, &mut LeftOut::default())
}

/// The images of `dir`, or of folders in it, with the classes that a CSV file tells.
fn by_table(table: &Path, dir: &Path, report: &mut ReadReport) -> Result<Classes> {
    let fail = |reason: String| Error::file(table, reason);
    let beside = table.parent().unwrap_or(Path::new(""));
    let mut places = vec![dir.to_path_buf(), beside.to_path_buf()];
    places.extend(entries(dir)?.into_iter().filter(|p| p.is_dir()));
    // Names without their ending, for files that are named by an id.
    let mut by_stem: HashMap<PathBuf, PathBuf> = HashMap::new();
    for place in places.iter().filter(|p| p.is_dir()) {
        for image in images(place)? {
            by_stem.entry(image.with_extension("")).or_insert(image);
        }
    }
    let find = |name: &str| -> Option<PathBuf> {
        let inside = Path::new(name).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let place = |place: &PathBuf| {
            let path = place.join(name);
            if is_picture(&path) { Some(path) } else { by_stem.get(&path).cloned() }
        };
        // Nothing in a file leads elsewhere.
        if inside { places.iter().find_map(place) } else { None }
    };
    let rows = labels_csv::parse(&files::read(table)?, |cell| find(cell).is_some()).map_err(fail)?;
    let mut classes = Classes::new();
    let mut lines: HashMap<PathBuf, u64> = HashMap::new();
    for row in rows {
        let path = find(&row.file).ok_or_else(|| {
            let reason = format!("line {}: no image '{}' in {}", row.line, row.file, dir.display());
            fail(reason)
        })?;
        if let Some(line) = lines.insert(path.clone(), row.line) {
            return Err(fail(format!("lines {line} and {} are both of '{}'", row.line, row.file)));
        }
        classes.entry(row.class).or_default().push(path);
    }
    classes.values_mut().for_each(|files| files.sort_unstable());
    let others = images(dir)?.iter().filter(|image| !lines.contains_key(*image)).count();
    if others > 0 {
        report.lines.push(format!(
            "{others} images in {} are not in {}: they are left out",
            dir.display(),
            table.display()
        ));
    }
    Ok(classes)
}

/// What a class is called goes into files and tables as it is, and tells it from the others.
fn class_name(folder: &Path) -> Result<String> {
    let name = folder.file_name().and_then(|n| n.to_str()).filter(|n| is_name(n));
    let reason = "a class is called like its folder, and this name is not Unicode or holds a control character; rename it";
    name.map(composed).ok_or_else(|| Error::file(folder, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::image_file::tests::file;
    use crate::image_set::Pixels;
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
        // A folder without images is no class of theirs.
        std::fs::create_dir(dir.path().join("val/c")).unwrap();
        let data = load(&options(dir.path(), None)).unwrap();
        assert!(
            data.classes() == 2 && data.notes.iter().any(|n| n.contains("val/c has no images")),
            "{:?}",
            data.notes
        );
        std::fs::create_dir(dir.path().join("train/c")).unwrap();
        let e = load(&options(dir.path(), None)).unwrap_err().to_string();
        assert!(e.contains("train/c") && e.contains("no picture in it"), "{e}");
        std::fs::remove_dir(dir.path().join("train/c")).unwrap();
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

    fn flat(dir: &Path, files: &[&str]) {
        std::fs::create_dir_all(dir).unwrap();
        for (i, name) in files.iter().enumerate() {
            std::fs::write(dir.join(name), file(2, 2, ImageFormat::Png, |_, _| [i as u8; 3])).unwrap();
        }
    }

    #[test]
    fn a_csv_file_tells_the_classes() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        flat(&dir.join("train"), &["1.png", "2.png", "3.png", "4.png"]);
        std::fs::write(dir.join("train.csv"), "id,label\n3,b\n1,a\n2,b\n").unwrap();
        flat(&dir.join("test"), &["9.png"]);
        std::fs::write(dir.join("test.csv"), "id,width,height\n9,2,2\n").unwrap();
        let e = load(&options(dir, None)).unwrap_err().to_string();
        assert!(e.contains("to test on") && e.contains("`test-fraction`"), "{e}");
        let data = load(&DataOptions { test_fraction: Some(0.34), ..options(dir, None) }).unwrap();
        let mut values: Vec<(u8, u32)> = Vec::new();
        for set in [&data.train, &data.test] {
            values
                .extend(set.images.bytes().unwrap().chunks(12).map(|image| image[0]).zip(set.labels.clone()));
        }
        values.sort_unstable();
        assert_eq!(
            (data.class_names, values),
            (vec!["a".to_string(), "b".into()], vec![(0, 0), (1, 1), (2, 1)])
        );
        for part in ["train.csv tells", "1 images in", "test has no classes"] {
            assert!(data.notes.iter().any(|n| n.contains(part)), "{part}: {:?}", data.notes);
        }
        // Test images with classes.
        std::fs::write(dir.join("test.csv"), "file;class\n9.png;b\n").unwrap();
        let data = load(&options(dir, None)).unwrap();
        assert_eq!((data.train.len(), &data.test.labels[..]), (3, &[1][..]));
        // One folder is a place, no class.
        let other = tempfile::tempdir().unwrap();
        flat(&other.path().join("images"), &["1.png", "2.png"]);
        std::fs::write(other.path().join("labels.csv"), "1.png,b\n2.png,a\n").unwrap();
        let half = DataOptions { test_fraction: Some(0.5), ..options(other.path(), None) };
        assert_eq!(load(&half).unwrap().class_names, ["a", "b"]);
        // A file that the user names.
        let other = dir.join("other.csv");
        let named = DataOptions { labels_file: Some(other.clone()), ..options(dir, None) };
        std::fs::write(&other, "1.png,b\n4.png,c\n").unwrap();
        assert_eq!(load(&named).unwrap().class_names, ["b", "c"]);
        for (text, words) in [
            ("1.png,b\n5.png,b\n", "line 2: no image '5.png'"),
            ("1.png,b\n1,c\n", "lines 1 and 2 are both of '1'"),
            ("file,label\n../train/1.png,b\n", "no image '../train/1.png'"),
        ] {
            std::fs::write(&other, text).unwrap();
            let e = load(&named).unwrap_err().to_string();
            assert!(e.contains("other.csv") && e.contains(words), "{words}: {e}");
        }
    }

    #[test]
    fn folders_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        folder(&dir.join("train"));
        folder(&dir.join("val"));
        for part in ["train", "val"] {
            for other in ["__MACOSX", ".ipynb_checkpoints", "@eaDir"] {
                flat(&dir.join(part).join(other), &["x.png"]);
            }
            std::fs::write(dir.join(part).join("Thumbs.db"), "x").unwrap();
        }
        flat(&dir.join("test"), &["x.png"]);
        let data = load(&options(dir, None)).unwrap();
        assert_eq!((data.class_names, data.test.len()), (vec!["a".to_string(), "b".into()], 6));
        assert!(
            data.notes[0].contains("test has no classes") && data.notes[1].contains("val is the test set"),
            "{:?}",
            data.notes
        );
        // Two that have classes.
        folder(&dir.join("test"));
        let data = load(&options(dir, None)).unwrap();
        assert!(data.notes.len() == 2 && data.notes[0].contains("val is not used"), "{:?}", data.notes);
        assert!(data.notes[1].contains("no pictures: 6 .txt"), "{:?}", data.notes);
    }

    #[test]
    fn names_are_compared_with_their_accents_composed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        for (part, name) in [("train", "caf\u{e9}"), ("train", "bar"), ("test", "cafe\u{301}")] {
            flat(&dir.join(part).join(name), &["1.png"]);
        }
        let data = load(&options(dir, None)).unwrap();
        assert_eq!(
            (&data.class_names[..], &data.test.labels[..]),
            (&["bar".to_string(), "caf\u{e9}".into()][..], &[1][..])
        );
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
        // None at all that would tell a size.
        let of_a = std::fs::read_dir(dir.path().join("a")).unwrap().map(|entry| entry.unwrap().path());
        of_a.filter(|path| path.is_file()).for_each(|path| std::fs::write(path, "").unwrap());
        let e = load(&skipping).unwrap_err().to_string();
        assert!(e.ends_with("a: every picture in it is broken"), "{e}");
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
