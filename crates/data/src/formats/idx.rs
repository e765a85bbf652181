//! IDX files (the MNIST format), gzipped or not.
//!
//! Two zero bytes, a type byte (8: unsigned bytes), the number of dimensions, each dimension as a big-endian u32, the
//! values.

use crate::error::{Error, Result};
use crate::files;
use std::path::Path;

/// The dimensions and bytes of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The dimensions, 1 to 4 of them.
    pub dims: Vec<usize>,
    /// Their product of bytes.
    pub values: Vec<u8>,
}

/// Reads an IDX file.
///
/// # Errors
/// When the file cannot be read, is not IDX of unsigned bytes, or is longer or shorter than its header says.
pub fn read(path: &Path) -> Result<Idx> {
    files::plain(files::read(path)?).and_then(parse).map_err(|reason| Error::file(path, reason))
}

/// Parses the (uncompressed) bytes of an IDX file.
///
/// # Errors
/// As [`read`], as a reason without the file's name.
pub fn parse(mut bytes: Vec<u8>) -> std::result::Result<Idx, String> {
    let [0, 0, kind, rank] = bytes[..4.min(bytes.len())] else {
        return Err("not an IDX file: it does not begin with two zero bytes, a type and a rank".into());
    };
    if kind != 8 {
        return Err(format!("IDX values of type 0x{kind:02x}; unsigned bytes (0x08) are expected"));
    }
    if !(1..=4).contains(&rank) {
        return Err(format!("an IDX file with {rank} dimensions; 1 to 4 are expected"));
    }
    let header = 4 + 4 * rank as usize;
    if bytes.len() < header {
        return Err("truncated inside the IDX header".into());
    }
    let dims: Vec<usize> =
        bytes[4..header].chunks_exact(4).map(|d| d.iter().fold(0, |n, b| n << 8 | *b as usize)).collect();
    let expected =
        dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or("impossible IDX dimensions")?;
    let found = bytes.len() - header;
    if found != expected {
        let how = if found < expected { "truncated" } else { "longer than its header says" };
        return Err(format!("{how}: {found} bytes of values, dimensions {dims:?} need {expected}"));
    }
    bytes.drain(..header);
    Ok(Idx { dims, values: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dims: &[u32], values: usize) -> Vec<u8> {
        let mut b = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|d| b.extend(d.to_be_bytes()));
        b.extend((0..values).map(|v| v as u8));
        b
    }

    #[test]
    fn reads_dimensions_and_values() {
        let idx = parse(file(&[2, 3], 6)).unwrap();
        assert_eq!((idx.dims, idx.values), (vec![2, 3], vec![0, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn refuses_what_is_not_idx() {
        assert!(parse(vec![]).unwrap_err().contains("not an IDX file"));
        assert!(parse(b"<html>".to_vec()).unwrap_err().contains("not an IDX file"));
        assert!(parse(file(&[2, 3], 5)).unwrap_err().contains("truncated"));
        assert!(parse(file(&[2, 3], 7)).unwrap_err().contains("longer"));
        assert!(parse(file(&[u32::MAX; 4], 7)).unwrap_err().contains("impossible"));
        assert!(parse(file(&[2, 3], 6)[..7].to_vec()).unwrap_err().contains("header"));
        let mut floats = file(&[2, 3], 6);
        floats[2] = 0x0d;
        assert!(parse(floats).unwrap_err().contains("0x0d"));
        assert!(parse(file(&[1; 5], 1)).unwrap_err().contains("5 dimensions"));
        assert!(parse(file(&[], 0)).unwrap_err().contains("0 dimensions"));
    }
}
