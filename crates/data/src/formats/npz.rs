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
/// `x_test`, `y_test`.
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
    let dtype = match descr {
        "|b1" => Dtype::Bool,
        "|u1" => Dtype::U8,
        "|i1" => Dtype::I8,
        "<u2" => Dtype::U16,
        "<i2" => Dtype::I16,
        "<u4" => Dtype::U32,
        "<i4" => Dtype::I32,
        "<u8" => Dtype::U64,
        "<i8" => Dtype::I64,
        "<f4" => Dtype::F32,
        "<f8" => Dtype::F64,
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(format!(
                "elements of type '{other}'; save little-endian whole numbers, float32 or float64"
            ));
        }
    };
    let order = field("fortran_order")?;
    let fortran = match (order.starts_with("False"), order.starts_with("True")) {
        (true, _) => false,
        (_, true) => true,
        _ => return Err("a .npy header without an order of its elements".into()),
    };
    let shape = field("shape")?.strip_prefix('(').and_then(|t| t.split_once(')')).map(|t| t.0);
    let shape = shape.ok_or("a .npy header without a shape")?;
    let extents = shape.split(',').map(str::trim).filter(|d| !d.is_empty()).map(str::parse);
    let shape: Vec<usize> =
        extents.collect::<std::result::Result<_, _>>().map_err(|_| format!("shape ({shape})"))?;
    if shape.len() > 8 {
        return Err(format!("shape {shape:?} has more than 8 axes"));
    }
    match fortran && shape.len() > 1 {
        false => NamedArray::decode(&shape, dtype, data),
        true => {
            NamedArray::decode(&shape, dtype, data)?;
            NamedArray::decode(&shape, dtype, &c_order(data, &shape, dtype.size()))
        }
    }
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
        assert_eq!(
            *nhwc.train,
            ImageSet { size: (2, 3, 2), images: Pixels::Bytes(last.clone()), labels: vec![1, 0] }
        );
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
            (npy(">f4", "False", "(10, 1)", &[0; 40]), "'>f4'"),
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
}
