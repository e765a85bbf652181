//! Reading data files of bounded size.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No file, and nothing that comes out of a compressed one, is larger.
pub const MAX_BYTES: u64 = 4 << 30;

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read, is not a file, or is larger than [`MAX_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let error = |e: std::io::Error| Error::file(path, e.to_string());
    let file = File::open(path).map_err(error)?;
    let about = file.metadata().map_err(error)?;
    if !about.is_file() {
        return Err(Error::file(path, "is not a file"));
    }
    if about.len() > MAX_BYTES {
        return Err(Error::file(
            path,
            format!("{} bytes are more than this program reads ({MAX_BYTES})", about.len()),
        ));
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

/// What `reader` decompresses to. The format's own bound holds: deflate makes at most 1032 bytes of one.
///
/// # Errors
/// When it is damaged, or more than [`MAX_BYTES`] come out.
pub fn decompress(reader: impl Read) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())? as u64;
    if read > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes come out of it"));
    }
    Ok(bytes)
}

/// Bytes as they are, or decompressed when they are gzip's.
///
/// # Errors
/// As [`decompress`].
pub fn plain(bytes: Vec<u8>) -> std::result::Result<Vec<u8>, String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    decompress(flate2::read::MultiGzDecoder::new(&bytes[..])).map_err(|e| format!("damaged gzip file: {e}"))
}
