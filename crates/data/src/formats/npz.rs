//! `.npz` files, NumPy's `savez` or `savez_compressed`.
//!
//! It is a zip file of `.npy` files: the bytes `\x93NUMPY`, a version, the header's length, a header that is a Python dictionary
//! of `descr`, `fortran_order` and `shape`, then the elements (NEP 1). The header is read here, since it comes in this one form and
//! a reader of all of Python's literals would recurse as deep as a file likes.

use super::arrays::{ArrayFile, Dtype, NamedArray};
use crate::dataset::Dataset;
use crate::files;
use crate::image_set::Pixels;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// The arrays of a `.npz` file.
pub struct File<'a>(ZipArchive<Cursor<&'a [u8]>>);

impl<'a> File<'a> {
    /// The file in `bytes`.
    ///
    /// # Errors
    /// When it is not a whole zip file.
    pub fn parse(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        ZipArchive::new(Cursor::new(bytes)).map(File).map_err(|e| format!("not a whole .npz file ({e})"))
    }
}

impl ArrayFile for File<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.0.file_names().flatten();
        names.filter_map(|n| n.strip_suffix(".npy").map(String::from)).collect()
    }

    fn array(&mut self, name: &str) -> std::result::Result<NamedArray, String> {
        let member = self.0.by_name(&format!("{name}.npy")).map_err(|e| e.to_string())?;
        parse_npy(&files::decompress(member)?)
    }
}

/// A data set as the bytes of a `.npz` file, as the data set `npz` reads it (with the layout NHWC where images have several channels): `x_train`, `y_train`,
/// `x_test`, `y_test`, and `class_names`.
///
/// # Errors
/// When an array has more than 4 GiB, which this form of zip files does not hold.
pub fn write(data: &Dataset) -> std::result::Result<Vec<u8>, String> {
    let mut to = ZipWriter::new(Cursor::new(Vec::new()));
    for (part, set) in [("train", &data.train), ("test", &data.test)] {
        let ((h, w, c), n) = (set.size, set.len());
        let shape = if c == 1 { format!("({n}, {h}, {w})") } else { format!("({n}, {h}, {w}, {c})") };
        let (descr, values) = match &set.images {
            Pixels::Bytes(v) => ("|u1", v.clone()),
            Pixels::Floats(v) => ("<f4", v.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        let labels: Vec<u8> = set.labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        for (name, bytes) in [
            (format!("x_{part}"), npy(descr, "False", &shape, &values)),
            (format!("y_{part}"), npy("<u4", "False", &format!("({n},)"), &labels)),
        ] {
            to.start_file(format!("{name}.npy"), SimpleFileOptions::default()).map_err(|e| e.to_string())?;
            to.write_all(&bytes).map_err(|e| e.to_string())?;
        }
    }
    // Text of as many characters as the longest has, at least one.
    let width = data.class_names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(1);
    let point = |name: &str| {
        let points = name.chars().map(u32::from).chain(std::iter::repeat(0)).take(width);
        points.flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
    };
    let names: Vec<u8> = data.class_names.iter().flat_map(|name| point(name)).collect();
    let shape = format!("({},)", data.class_names.len());
    to.start_file("class_names.npy", SimpleFileOptions::default()).map_err(|e| e.to_string())?;
    to.write_all(&npy(&format!("<U{width}"), "False", &shape, &names)).map_err(|e| e.to_string())?;
    to.finish().map(Cursor::into_inner).map_err(|e| e.to_string())
}

/// The bytes of a `.npy` file of these elements; Fortran's order (`True` or `False`) and shape are Python's literals.
fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    // The data begin at a multiple of 64 bytes.
    let width = (11 + header.len()).next_multiple_of(64) - 11;
    let header = format!("{header:width$}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// Headers are short: longer ones describe records, which are not read here.
const MAX_HEADER: usize = 4096;

/// Text has at most so many characters: it is read for names of classes.
const MAX_TEXT: usize = 1024;

/// The array in the bytes of a `.npy` file.
///
/// # Errors
/// When it is not one, or of elements that are not read here.
pub fn parse_npy(bytes: &[u8]) -> std::result::Result<NamedArray, String> {
    let (version, rest) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', major, _minor, rest @ ..] => (*major, rest),
        _ => return Err("not a .npy array".into()),
    };
    let (len, rest) = match (version, rest) {
        (1, [a, b, rest @ ..]) => (u16::from_le_bytes([*a, *b]) as usize, rest),
        (2 | 3, [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(format!("a .npy header of version {version} that is cut off or unknown")),
    };
    if len > MAX_HEADER || len > rest.len() {
        return Err(format!("a .npy header of {len} bytes"));
    }
    let (header, data) = rest.split_at(len);
    let header = str::from_utf8(header).map_err(|_| "a .npy header that is not text")?;
    let field = |key: &str| {
        let at = header.find(&format!("'{key}':")).ok_or_else(|| format!("a .npy header without '{key}'"))?;
        Ok::<_, String>(header[at + key.len() + 3..].trim_start())
    };
    let descr = field("descr")?.strip_prefix('\'').and_then(|t| t.split_once('\'')).map(|t| t.0);
    let descr = descr.ok_or("records, which are not read here; save plain arrays")?;
    // The first character is the order of an element's bytes, which those of one byte do not have.
    let (order_of_bytes, kind) = descr.split_at_checked(1).unwrap_or(("", ""));
    let text =
        |letter: char| kind.strip_prefix(letter).and_then(|n| n.parse().ok()).filter(|n| *n <= MAX_TEXT);
    let dtype = match kind {
        "b1" => Some(Dtype::Bool),
        "u1" => Some(Dtype::U8),
        "i1" => Some(Dtype::I8),
        "u2" => Some(Dtype::U16),
        "i2" => Some(Dtype::I16),
        "u4" => Some(Dtype::U32),
        "i4" => Some(Dtype::I32),
        "u8" => Some(Dtype::U64),
        "i8" => Some(Dtype::I64),
        "f2" => Some(Dtype::F16),
        "f4" => Some(Dtype::F32),
        "f8" => Some(Dtype::F64),
        _ => text('U').map(Dtype::Unicode).or_else(|| text('S').map(Dtype::Ascii)),
    };
    let Some(dtype) = dtype.filter(|_| ["<", ">", "|"].contains(&order_of_bytes)) else {
        let other: String = descr.chars().take(20).collect();
        return Err(format!(
            "elements of type '{other}'; save whole numbers, floating-point ones or text (no objects)"
        ));
    };
    let order = field("fortran_order")?;
    let fortran = match (order.starts_with("False"), order.starts_with("True")) {
        (true, _) => false,
        (_, true) => true,
        _ => return Err("a .npy header without an order of its elements".into()),
    };
    let shape = field("shape")?.strip_prefix('(').and_then(|t| t.split_once(')')).map(|t| t.0);
    let shape = shape.ok_or("a .npy header without a shape")?;
    // Python 2 wrote long integers with an L.
    let extents = shape.split(',').map(|d| d.trim().trim_end_matches('L')).filter(|d| !d.is_empty());
    let extents = extents.map(str::parse);
    let shape: Vec<usize> =
        extents.collect::<std::result::Result<_, _>>().map_err(|_| format!("shape ({shape})"))?;
    if shape.len() > 8 {
        return Err(format!("shape {shape:?} has more than 8 axes"));
    }
    let swapped = (order_of_bytes == ">").then(|| little_endian(data, dtype));
    let data = swapped.as_deref().unwrap_or(data);
    match fortran && shape.len() > 1 {
        false => NamedArray::decode(&shape, dtype, data),
        true => {
            NamedArray::decode(&shape, dtype, data)?;
            NamedArray::decode(&shape, dtype, &c_order(data, &shape, dtype.size()))
        }
    }
}

/// Big-endian elements as little-endian ones.
fn little_endian(data: &[u8], dtype: Dtype) -> Vec<u8> {
    let size = match dtype {
        Dtype::Unicode(_) => 4,
        Dtype::Ascii(_) => 1,
        other => other.size(),
    };
    let mut data = data.to_vec();
    data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    data
}

/// Elements of `size` bytes in Fortran's order (first axis fastest), as C has them (last axis fastest).
fn c_order(from: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut strides = vec![size; shape.len()];
    (1..shape.len()).for_each(|i| strides[i] = strides[i - 1] * shape[i - 1]);
    let mut to = Vec::with_capacity(from.len());
    for mut i in 0..from.len() / size {
        let mut at = 0;
        for (extent, stride) in shape.iter().zip(&strides).rev() {
            at += i % extent * stride;
            i /= extent;
        }
        to.extend_from_slice(&from[at..at + size]);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_set::ImageSet;
    use crate::options::{DataOptions, Layout};
    use crate::sets::arrays;
    use std::path::Path;

    fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            to.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            to.write_all(bytes).unwrap();
        }
        to.finish().unwrap().into_inner()
    }

    fn read(members: &[(&str, Vec<u8>)], options: &DataOptions) -> std::result::Result<Dataset, String> {
        let bytes = npz(members);
        let mut file = File::parse(&bytes).unwrap();
        arrays::dataset(Path::new("f.npz"), &mut file, options).map_err(|e| e.to_string())
    }

    fn le<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        values.into_iter().flatten().collect()
    }

    #[test]
    fn images_in_both_layouts_are_the_same() {
        // Image i, channel c, row y, column x.
        let value = |i: usize, c: usize, y: usize, x: usize| (100 * i + 50 * c + 10 * y + x) as u8;
        let mut first = Vec::new();
        let mut last = Vec::new();
        for i in 0..2 {
            (0..12).for_each(|k| first.push(value(i, k / 6, k / 3 % 2, k % 3)));
            (0..12).for_each(|k| last.push(value(i, k % 2, k / 6, k / 2 % 3)));
        }
        let labels = npy("<i8", "False", "(2, 1)", &le([1i64, 0].map(i64::to_le_bytes)));
        let set = |shape: &str, data: &[u8], layout| {
            let x = npy("|u1", "False", shape, data);
            let members = [
                ("x_train", x.clone()),
                ("y_train", labels.clone()),
                ("x_test", x),
                ("y_test", labels.clone()),
            ];
            read(&members, &DataOptions { layout, ..DataOptions::default() })
        };
        let nhwc = set("(2, 2, 3, 2)", &last, Some(Layout::Nhwc)).unwrap();
        assert_eq!(*nhwc.train, ImageSet::new((2, 3, 2), Pixels::Bytes(last.clone()), vec![1, 0]));
        assert_eq!(set("(2, 2, 2, 3)", &first, Some(Layout::Nchw)).unwrap().train, nhwc.train);
        assert!(set("(2, 2, 3, 2)", &last, None).unwrap_err().contains("`layout`"));
        assert!(
            set("(2, 2, 3, 3)", &last, Some(Layout::Nhwc))
                .unwrap_err()
                .contains("do not fill shape [2, 2, 3, 3]")
        );
    }

    #[test]
    fn features_are_normalized_one_by_one_and_a_single_set_is_split() {
        // Fortran's order: column 0 is 0 1 2 …, column 1 its hundredfold.
        let columns = (0..20).map(|i| f64::from(i % 10) * if i < 10 { 1.0 } else { 100.0 });
        let x = npy("<f8", "True", "(10, 2)", &le(columns.map(f64::to_le_bytes)));
        let y = npy("<u2", "False", "(10,)", &le((0..10u16).map(|i| (i % 2).to_le_bytes())));
        let options = DataOptions { test_fraction: Some(0.2), ..DataOptions::default() };
        let data = read(&[("x", x), ("y", y.clone())], &options).unwrap();
        assert_eq!(
            (data.train.len(), data.test.len(), data.train.size, data.classes()),
            (8, 2, (1, 1, 2), 2)
        );
        // Three axes in the same order: value i of the file stands at (i mod 2, i/2 mod 3, i/6).
        let cube = npy("|u1", "True", "(2, 3, 4)", &(0..24).collect::<Vec<u8>>());
        let two = npy("|u1", "False", "(2,)", &[0, 1]);
        let members =
            [("x_train", cube.clone()), ("y_train", two.clone()), ("x_test", cube), ("y_test", two)];
        let images = read(&members, &DataOptions::default()).unwrap().train.images.bytes().unwrap().to_vec();
        let at = |k: usize| (k / 12 + 2 * (k / 4 % 3) + 6 * (k % 4)) as u8;
        assert_eq!(images, (0..24).map(at).collect::<Vec<u8>>());
        let Pixels::Floats(values) = &data.test.images else { panic!("floats") };
        assert_eq!((values[1], values[3]), (100.0 * values[0], 100.0 * values[2]));
        let n = &data.normalisation;
        assert!((n.mean[1] - 100.0 * n.mean[0]).abs() < 1e-6 && (n.std[1] - 100.0 * n.std[0]).abs() < 1e-6);
        for (x, message) in [
            (npy("<f4", "False", "(10, 1)", &le([f32::NAN; 10].map(f32::to_le_bytes))), "value 0 is NaN"),
            (npy("<f4", "False", "(10,)", &[0; 40]), "2 to 4 axes"),
            (npy("<c8", "False", "(10, 1)", &[0; 80]), "'<c8'"),
            (npy("<f4", "False", "(11, 1)", &[0; 44]), "10 labels for the 11 inputs"),
            (npy("<f4", "False", "(18446744073709551615, 9)", &[0; 40]), "do not fill"),
            (npy("|u1", "False", "(10, 0, 3)", &[]), "is empty"),
            (b"PK".to_vec(), "not a .npy array"),
        ] {
            let e = read(&[("x", x), ("y", y.clone())], &options).unwrap_err();
            assert!(e.contains(message) && e.starts_with("f.npz: "), "{message}: {e}");
        }
        let e = read(&[("a", y.clone())], &options).unwrap_err();
        assert!(e.contains("holds [a]") && e.contains("x_train"), "{e}");
        let negative = npy("|i1", "False", "(2,)", &[0, 255]);
        let x = npy("|u1", "False", "(2, 1)", &[0, 255]);
        let e = read(&[("x", x), ("y", negative)], &options).unwrap_err();
        assert!(e.contains("'y': label -1"), "{e}");
    }

    #[test]
    fn elements_keep_their_values_as_numpy_writes_them() {
        use crate::formats::arrays::Values;
        let of_shape = |descr, shape, bytes: &[u8]| parse_npy(&npy(descr, "False", shape, bytes));
        let two = |descr, bytes: &[u8]| of_shape(descr, "(2,)", bytes).unwrap().values;
        let text = |a: &str, b: &str| Values::Text(vec![a.into(), b.into()]);
        let floats = Values::Floats(vec![1.0, -2.5]);
        assert_eq!(two("<f2", &[0x00, 0x3c, 0x00, 0xc1]), floats);
        assert_eq!(two(">f2", &[0x3c, 0x00, 0xc1, 0x00]), floats);
        assert_eq!(two(">f4", &[0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0]), floats);
        assert_eq!(two(">f8", &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0x04, 0, 0, 0, 0, 0, 0]), floats);
        assert_eq!(two(">i2", &[0, 1, 0xff, 0xfe]), Values::Ints(vec![1, -2]));
        assert_eq!(two("|b1", &[1, 0]), Values::Bytes(vec![1, 0]));
        assert_eq!(two("|S2", b"a\0bc"), text("a", "bc"));
        assert_eq!(two("<U1", &[0x61, 0, 0, 0, 0xe9, 0, 0, 0]), text("a", "\u{e9}"));
        assert_eq!(two(">U1", &[0, 0, 0, 0x61, 0, 0, 0, 0xe9]), text("a", "\u{e9}"));
        assert_eq!(of_shape("|u1", "(2L, 1L)", &[1, 2]).unwrap().shape, [2, 1], "as Python 2 wrote it");
        assert!(of_shape("<U0", "(99,)", &[]).unwrap_err().contains("without characters"));
        assert!(of_shape("<U1", "(1,)", &[0, 0, 0, 0xff]).unwrap_err().contains("not Unicode"));
        assert!(of_shape("|O", "(1,)", &[]).unwrap_err().contains("'|O'"));
    }

    #[test]
    fn labels_come_in_many_ways() {
        let x = npy("|u1", "False", "(4, 2)", &[7; 8]);
        let options = DataOptions { test_fraction: Some(0.5), ..DataOptions::default() };
        let data = |labels: Vec<u8>| read(&[("X", x.clone()), ("Y", labels)], &options);
        let classes = |labels: Vec<u8>| {
            let data = data(labels).unwrap();
            let mut labels = [&data.train.labels[..], &data.test.labels].concat();
            labels.sort_unstable();
            (labels, data.class_names, data.notes)
        };
        let floats = |v: [f32; 4]| npy("<f4", "False", "(4,)", &le(v.map(f32::to_le_bytes)));
        let (labels, names, notes) = classes(floats([0.0, 1.0, 1.0, 0.0]));
        assert_eq!((labels, names), (vec![0, 0, 1, 1], vec!["0".to_string(), "1".into()]));
        assert!(notes.len() == 1 && notes[0].contains("'Y' are floating-point"), "{notes:?}");
        assert!(data(floats([0.0, 0.5, 1.0, 1.0])).unwrap_err().contains("label 0.5"));
        assert!(data(floats([0.0, f32::NAN, 1.0, 1.0])).unwrap_err().contains("label NaN"));
        // A class that no row has is one all the same.
        let (labels, names, notes) =
            classes(npy("|u1", "False", "(4, 3)", &[1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0]));
        assert_eq!((labels, names.len()), (vec![0, 0, 1, 1], 3));
        assert!(notes[0].contains("one-hot, of 3 classes"), "{notes:?}");
        assert!(
            data(npy("|u1", "False", "(4, 2)", &[1, 0, 1, 1, 0, 1, 1, 0])).unwrap_err().contains("row 1")
        );
        let (labels, names, _) = classes(npy("|S3", "False", "(4,)", b"dogcatdogcat"));
        assert_eq!((labels, names), (vec![0, 0, 1, 1], vec!["cat".to_string(), "dog".into()]));
        // Names in the file, and labels beyond them.
        let named = |labels: &[u8]| {
            let labels = npy("|u1", "False", "(4,)", labels);
            let names = npy("|S1", "False", "(2,)", b"ba");
            read(&[("x", x.clone()), ("y", labels), ("class_names", names)], &options)
        };
        assert_eq!(named(&[0, 1, 0, 1]).unwrap().class_names, ["b", "a"]);
        assert!(named(&[0, 1, 2, 1]).unwrap_err().contains("2 names of classes, and labels up to 2"));
    }

    #[test]
    fn arrays_for_validation_are_not_lost_in_silence() {
        let x = npy("|u1", "False", "(2, 2)", &[7; 4]);
        let y = npy("|u1", "False", "(2,)", &[0, 1]);
        let mut members =
            vec![("x_train", x.clone()), ("y_train", y.clone()), ("x_val", x.clone()), ("y_val", y.clone())];
        let data = read(&members, &DataOptions::default()).unwrap();
        assert!(
            data.test.len() == 2 && data.notes[0].contains("'x_val' and 'y_val' are those to test on"),
            "{:?}",
            data.notes
        );
        members.extend([("x_test", x), ("y_test", y)]);
        let notes = read(&members, &DataOptions::default()).unwrap().notes;
        assert!(
            notes.len() == 1 && notes[0].contains("'x_val' and 'y_val' of f.npz are not used"),
            "{notes:?}"
        );
    }
}
