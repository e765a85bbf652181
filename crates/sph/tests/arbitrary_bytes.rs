//! What users name may hold anything. Every reader answers arbitrary bytes, and files that were right before something changed in
//! them, with a value or an error: no panic, no hang, and no more memory than a stated multiple of the file.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p sph --test arbitrary_bytes` looks longer.

// A counting allocator cannot be written without implementing `GlobalAlloc`; it forwards everything to the system's.
#![allow(unsafe_code)]

mod common;

use common::sph;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use sph::config::TrainArgs;
use sph_data::formats::arrays::ArrayFile;
use sph_data::formats::image_file::{self, MAX_PIXELS};
use sph_data::formats::{idx, labels_csv, npz, safetensors};
use sph_data::sets::{arrays, cifar};
use sph_data::{DataOptions, Layout, files};
use sph_nn::Store;
use sph_nn::models::{self, ModelConfig};
use sph_tensor::Pool;
use sph_train::files::{Checkpoint, ModelFile};
use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::io::{Cursor, Write};
use std::path::Path;

struct Counting;

thread_local! {
    /// Bytes that this thread holds, and the most it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    let (now, most) = HELD.get();
    HELD.set((now + change, most.max(now + change)));
}

// SAFETY: every call is forwarded to the system's allocator with its arguments unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        count(memory.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(memory) }
    }
    unsafe fn alloc_zeroed(&self, memory: Memory) -> *mut u8 {
        count(memory.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(memory) }
    }
    unsafe fn realloc(&self, old: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        count(size as isize - memory.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, memory, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, memory: Memory) {
        count(-(memory.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes with nothing in mind, behind the beginning of a right file, or a right file with changes.
fn bytes(right: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    /// One change; positions are fractions of the file.
    #[derive(Debug, Clone)]
    enum Change {
        Byte(Index, u8),
        Word(Index, u32),
        Cut(Index),
        Remove(Index, Index),
        Repeat(Index, Index),
    }
    let word = prop_oneof![select(vec![0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX]), any::<u32>()];
    let change = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(i, b)| Change::Byte(i, b)),
        2 => (any::<Index>(), word).prop_map(|(i, w)| Change::Word(i, w)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => any::<(Index, Index)>().prop_map(|(i, j)| Change::Remove(i, j)),
        1 => any::<(Index, Index)>().prop_map(|(i, j)| Change::Repeat(i, j)),
    ];
    let stretch = |b: &[u8], i: &Index, j: &Index| {
        let (i, j) = (i.index(b.len()), j.index(b.len()));
        i.min(j)..i.max(j)
    };
    let changed = (select(right.clone()), vec(change, 1..6)).prop_map(move |(mut b, changes)| {
        for change in changes {
            if b.is_empty() {
                break;
            }
            match change {
                Change::Byte(i, v) => {
                    let i = i.index(b.len());
                    b[i] = v;
                }
                Change::Word(i, w) => {
                    let i = i.index(b.len());
                    b[i..].iter_mut().zip(w.to_le_bytes()).for_each(|(b, w)| *b = w);
                }
                Change::Cut(i) => b.truncate(i.index(b.len())),
                Change::Remove(i, j) => drop(b.drain(stretch(&b, &i, &j))),
                Change::Repeat(i, j) => {
                    let again = b[stretch(&b, &i, &j)].to_vec();
                    b.extend(again);
                }
            }
        }
        b
    });
    let begun = (select(right), any::<Index>(), vec(any::<u8>(), 0..200)).prop_map(|(b, i, tail)| {
        let begin = i.index(b.len().clamp(1, 64));
        [&b[..begin], &tail].concat()
    });
    prop_oneof![1 => vec(any::<u8>(), 0..300), 1 => begun, 6 => changed]
}

/// Reads what `bytes` makes of right files, which `read` must accept as they are. Memory stays below `factor` times the file, and
/// `aside`.
fn holds(right: Vec<Vec<u8>>, factor: usize, aside: usize, read: impl Fn(&[u8]) -> Result<(), String>) {
    for file in &right {
        read(file).unwrap();
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let check = |file: Vec<u8>| {
        let before = HELD.get().0;
        HELD.set((before, before));
        let _ = read(&file);
        let most = (HELD.get().1 - before) as usize;
        prop_assert!(
            most <= factor * file.len() + aside,
            "{most} bytes of memory for {} of the file",
            file.len()
        );
        Ok(())
    };
    TestRunner::new(config).run(&bytes(right), check).unwrap();
}

const KIB: usize = 1 << 10;
/// One label can make 65,536 classes: their names, and lists of their images.
const CLASSES: usize = 16 * KIB * KIB;
/// What deflate makes of a byte at most.
const DEFLATE: usize = 1032;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

#[test]
fn idx_files() {
    let plain = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &[7; 24]].concat();
    // What comes out of gzip grows by doubling, beside the file; values are moved where they are.
    holds(vec![gzip(&plain), plain], 2 * DEFLATE + 1, 128 * KIB, |b| {
        idx::parse(files::plain(b.to_vec())?).map(drop)
    });
}

#[test]
fn cifar_files() {
    let record = [&[3, 7][..], &[9; 3072]].concat();
    // The images, and four bytes a label.
    holds(vec![record.repeat(3)], 2, 4 * KIB, |b| {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        let read = cifar::records(b, 2, 100, &mut images, &mut labels);
        assert!(labels.iter().all(|l| *l < 100) && (read.is_err() || images.len() == 3072 * labels.len()));
        read
    });
}

/// A `.npy` file.
fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// Floats and whole labels, or big-endian ones and names.
fn npz(deflated: bool, rich: bool) -> Vec<u8> {
    use zip::CompressionMethod::{Deflated, Stored};
    let options =
        zip::write::SimpleFileOptions::default().compression_method(if deflated { Deflated } else { Stored });
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let plain =
        vec![("x", npy("<f8", "True", "(4, 2)", &[0; 64])), ("y", npy("<i8", "False", "(4,)", &[0; 32]))];
    let names: Vec<u8> = "ab".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let rich_ones = vec![
        ("X", npy(">f2", "False", "(2L, 2L)", &[0; 8])),
        ("y", npy("|S1", "False", "(2,)", b"ba")),
        ("class_names", npy("<U1", "False", "(2,)", &names)),
        ("val_images", npy("|b1", "False", "(1,)", &[1])),
    ];
    for (name, bytes) in if rich { rich_ones } else { plain } {
        to.start_file(format!("{name}.npy"), options).unwrap();
        to.write_all(&bytes).unwrap();
    }
    to.finish().unwrap().into_inner()
}

/// A data set of arrays, in both layouts.
fn data_set(file: &mut dyn ArrayFile) -> Result<(), String> {
    let read = |file: &mut dyn ArrayFile, layout| {
        let options =
            DataOptions { test_fraction: Some(0.5), layout: Some(layout), ..DataOptions::default() };
        arrays::dataset(Path::new("file"), file, &options).map(drop).map_err(|e| e.to_string())
    };
    read(file, Layout::Nchw).and_then(|()| read(file, Layout::Nhwc))
}

#[test]
fn npz_files() {
    // Out of deflate, growing by doubling; whole numbers of one byte become eight, floats beside them; then the two sets.
    let files = vec![npz(true, false), npz(false, false), npz(true, true), npz(false, true)];
    holds(files, 32 * DEFLATE, CLASSES, |b| data_set(&mut npz::File::parse(b)?));
    let arrays = [
        npy("|u1", "False", "(2, 3)", &[1; 6]),
        npy("<f8", "True", "(2, 3, 1)", &[0; 48]),
        npy("|i1", "False", "(5,)", &[0; 5]),
        npy(">i2", "True", "(2, 2)", &[0; 8]),
        npy("<f2", "False", "(2,)", &[0; 4]),
        npy("|S1", "False", "(2L,)", b"ab"),
    ];
    // Text of one byte becomes a string with its length, capacity and place.
    holds(arrays.to_vec(), 40, 4 * KIB, |b| npz::parse_npy(b).map(drop));
}

#[test]
fn safetensors_files() {
    let header = r#"{"x":{"dtype":"U8","shape":[4,2,1,1],"data_offsets":[0,8]},"y":{"dtype":"I64","shape":[4],"data_offsets":[8,40]}}"#;
    let file = |header: &str, data: &[u8]| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    let named = r#"{"__metadata__":{"class_names":"[\"a\",\"b\"]"},"x":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"y":{"dtype":"BF16","shape":[2,2],"data_offsets":[4,12]}}"#;
    let one_hot = [0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0x80, 0x3f];
    // Names and shapes of the header are kept beside it.
    holds(vec![file(header, &[0; 40]), file(named, &one_hot)], 100, CLASSES, |b| {
        data_set(&mut safetensors::File::parse(b)?)
    });
}

#[test]
fn csv_files_of_classes() {
    let files =
        ["image,label\n1.png,a\n2.png,\"b\"\n", "1.png;a\n2.png;b\n", "\u{feff}id\tbreed\n1\tcafe\u{301}\n"];
    // Two strings a row of at least three bytes, and a buffer of the reader.
    holds(files.map(|f| f.as_bytes().to_vec()).to_vec(), 60, 64 * KIB, |b| {
        let rows = labels_csv::parse(b, |cell| cell.ends_with(".png"))?;
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.class.is_empty() && !row.file.is_empty()));
        Ok(())
    });
}

#[test]
fn checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let flags = format!("train --model mlp --epochs 1 --runs {} --experiment r", dir.path().display());
    sph(&flags).assert().success();
    let read = |name: &str| std::fs::read(dir.path().join("r").join(name)).unwrap();
    let network = models::build("mlp", &ModelConfig::new(1, (8, 8), 10)).unwrap();
    let pool = Pool::<f32>::new();
    let store = Store::init(&network, &pool, 0);
    // Values on their way into the model: as f64, then as its own.
    holds(vec![read("best.safetensors")], 100, 1024 * KIB, |b| {
        let file = ModelFile::new(Path::new("file"), b.to_vec());
        file.info().map_err(|e| e.to_string())?;
        file.load(&mut store.clone()).map(drop).map_err(|e| e.to_string())
    });
    holds(vec![read("last.ckpt")], 100, 1024 * KIB, |b| {
        // A checksum that is right lets the rest be seen.
        let mut b = b.to_vec();
        if b.len() >= 12 {
            let crc = crc32fast::hash(&b[12..]);
            b[8..12].copy_from_slice(&crc.to_le_bytes());
        }
        let found = Checkpoint::parse(Path::new("file"), b).map_err(|e| e.to_string())?;
        found.restore(&mut store.clone(), &pool).map(drop).map_err(|e| e.to_string())
    });
}

#[test]
fn configurations() {
    let all = TrainArgs::from_toml("opt = 'sgd'\nlr = 0.1\nhflip = 0.5\nval_split = 0.1", "file").unwrap();
    let own =
        b"epochs = 3\nbatch-size = 32\n# comment\nnesterov = true\nopt = \"sgd\"\nsched = 'step'\n".to_vec();
    // The parser of flags alone takes its half megabyte.
    holds(vec![own, all.to_toml().unwrap().into_bytes()], 1000, 4096 * KIB, |b| {
        TrainArgs::from_toml(&String::from_utf8_lossy(b), "file").map(drop).map_err(|e| e.to_string())
    });
}

#[test]
fn image_files() {
    let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 99]));
    let gray = image::DynamicImage::ImageRgb8(picture.clone()).to_luma16();
    let mut right = Vec::new();
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    for format in [Png, Jpeg, Bmp, Gif, Tiff, WebP] {
        let mut to = Cursor::new(Vec::new());
        picture.write_to(&mut to, format).unwrap();
        right.push(to.into_inner());
    }
    for format in [Png, Tiff] {
        let mut to = Cursor::new(Vec::new());
        gray.write_to(&mut to, format).unwrap();
        right.push(to.into_inner());
    }
    // The pixel limit bounds what a header can ask for: what the decoder holds, and what it makes of it. A changed chunk of a PNG file
    // has its checksum made right: the decoder would look no further.
    holds(right, 100, 32 * MAX_PIXELS as usize, |b| {
        let pixels = image_file::decode(&repaired(b.to_vec()), true)?.square(8).into_pixels(3)?;
        assert_eq!(pixels.len(), 8 * 8 * 3);
        Ok(())
    });
}

/// A PNG file with the right checksum behind every chunk; other bytes as they are.
fn repaired(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG")
        && let Some(length) = bytes.get(at..at + 4)
    {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(length + 12).filter(|end| *end <= bytes.len()) else { break };
        let sum = crc32fast::hash(&bytes[at + 4..end - 4]).to_be_bytes();
        bytes[end - 4..end].copy_from_slice(&sum);
        at = end;
    }
    bytes
}

/// Folders and files of any name: images, what only looks like one, and nothing at all.
#[cfg(unix)]
#[test]
fn names_in_folders() {
    use std::os::unix::ffi::OsStrExt;
    type Name = Vec<u8>;
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::new(1, 1).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let contents = [png.into_inner(), b"no image".to_vec(), b"a.png,a\nc.png,b\n".to_vec()];
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    let load = |entries: &[(Vec<Name>, Option<Name>, usize)], fraction: Option<f64>| {
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        // What the system does not take as a name is not made.
        let name = |n: &Name| {
            let one = !n.contains(&b'/') && ![&b"."[..], b".."].contains(&&n[..]);
            one.then(|| std::ffi::OsStr::from_bytes(n).to_os_string())
        };
        for (folders, file, content) in entries {
            let mut at = path.clone();
            at.extend(folders.iter().filter_map(name));
            if std::fs::create_dir_all(&at).is_ok()
                && let Some(file) = file.as_ref().and_then(name)
            {
                let _ = std::fs::write(at.join(file), &contents[*content]);
            }
        }
        let options =
            DataOptions { data_dir: Some(path.clone()), test_fraction: fraction, ..DataOptions::default() };
        sph_data::load("folder", &options)
    };
    let bytes = |name: &str| name.as_bytes().to_vec();
    let image = |folders: &[&str]| (folders.iter().map(|f| bytes(f)).collect(), Some(bytes("1.png")), 0);
    let both = load(&[image(&["train", "é"]), image(&["train", "a"]), image(&["test", "é"])], None).unwrap();
    assert_eq!((both.class_names, &both.test.labels[..]), (vec!["a".to_string(), "é".into()], &[1][..]));
    let (first, second) = (image(&["\n"]), image(&["a"]));
    assert!(load(&[first, second], Some(0.5)).unwrap_err().to_string().contains("rename it"));

    let known = [
        "train",
        "test",
        "val",
        "a",
        "b",
        ".hidden",
        "c.png",
        "train.csv",
        "labels.csv",
        "test.csv",
        "cafe\u{301}",
        "caf\u{e9}",
        "\n",
        "é",
        "\u{202e}x",
    ]
    .map(bytes);
    let any_name =
        || prop_oneof![4 => select(known.to_vec()), 1 => vec(1u8.., 1..300), 1 => vec(1u8.., 1..4)];
    let part = select(["train", "test", "val"].map(bytes).to_vec());
    let folders = prop_oneof![
        3 => any_name().prop_map(|class| vec![class]),
        3 => (part, any_name()).prop_map(|(part, class)| vec![part, class]),
        1 => vec(any_name(), 0..4),
    ];
    let ending = select(vec![".png", ".png", ".PNG", ".jpeg", ".png.", ""]);
    let file = (any_name(), ending).prop_map(|(name, ending)| [&name, ending.as_bytes()].concat());
    let entry = (
        folders,
        proptest::option::weighted(0.9, file),
        prop_oneof![9 => Just(0usize), 1 => Just(1), 2 => Just(2)],
    );
    let inputs = (vec(entry, 1..5), proptest::option::of(0.1..0.9f64));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let check = |(entries, fraction): (Vec<_>, _)| {
        if let Ok(data) = load(&entries, fraction) {
            prop_assert!(data.class_names.is_sorted_by(|a, b| a < b), "{:?}", data.class_names);
            prop_assert!(!data.class_names.iter().any(|n| n.contains(char::is_control)));
            let mut labels = data.train.labels.iter().chain(&data.test.labels);
            prop_assert!(!data.train.is_empty() && labels.all(|l| (*l as usize) < data.classes()));
        }
        Ok(())
    };
    TestRunner::new(config).run(&inputs, check).unwrap();
}
