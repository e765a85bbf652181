//! Downloads of data sets into the user's cache directory: checked, and taken up again where they were broken off.

use crate::error::{Error, Result};
use crate::files::MAX_BYTES;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How names of files and folders that are being written begin.
const TEMPORARY: &str = ".sph-";

/// The folder of the data set called `name` in the user's cache directory.
///
/// # Errors
/// When the system names no such directory.
pub fn cache(name: &str) -> Result<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "sph");
    let none = || {
        Error::setting(
            "data-dir",
            None,
            "must name the folder: there is no cache directory, since HOME is not set",
        )
    };
    Ok(dirs.ok_or_else(none)?.cache_dir().join(name))
}

/// What is to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The files, each with its address and sum.
    pub files: Vec<Remote>,
    /// The folder inside the one archive that the files are, which is unpacked; `None` where files stay as they are.
    pub unpacks_to: Option<&'static str>,
}

/// A file on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its address.
    pub url: String,
    /// Its name in the cache.
    pub name: String,
    /// What its bytes must add up to.
    pub sum: Sum,
}

/// A checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// MD5, as it was published: against damage, not against malice.
    Md5(String),
    /// SHA-256.
    Sha256(String),
}

/// A data set whose files and sums are published.
struct Known {
    name: &'static str,
    url: &'static str,
    /// Names and MD5 sums.
    files: &'static [(&'static str, &'static str)],
    unpacks_to: Option<&'static str>,
}

const KNOWN: &[Known] = &[
    Known {
        name: "fashion-mnist",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files: &[
            ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ],
        unpacks_to: None,
    },
    Known {
        name: "cifar10",
        url: "https://www.cs.toronto.edu/~kriz/",
        files: &[("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
        unpacks_to: Some("cifar-10-batches-bin"),
    },
    Known {
        name: "cifar100",
        url: "https://www.cs.toronto.edu/~kriz/",
        files: &[("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
        unpacks_to: Some("cifar-100-binary"),
    },
];

/// The parser of a name that becomes a folder.
///
/// # Errors
/// When it could lead elsewhere.
pub fn folder_name(text: &str) -> std::result::Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !text.is_empty() && text.chars().all(plain) && !text.starts_with('.') {
        true => Ok(text.to_string()),
        false => Err("must be letters, digits, '-', '_' and '.', and not begin with '.'".into()),
    }
}

/// What `sph data fetch NAME` downloads.
///
/// # Errors
/// When the name is not known and address or sum are missing.
pub fn plan(name: &str, url: Option<&str>, sha256: Option<[u8; 32]>) -> Result<Download> {
    if let Some(known) = KNOWN.iter().find(|k| k.name == name) {
        if sha256.is_some() {
            return Err(Error::setting("sha256", None, format!("is known for {name}")));
        }
        let base = url.unwrap_or(known.url);
        let slash = if base.ends_with('/') { "" } else { "/" };
        let remote = |(file, md5): &(&str, &str)| Remote {
            url: format!("{base}{slash}{file}"),
            name: file.to_string(),
            sum: Sum::Md5(md5.to_string()),
        };
        return Ok(Download {
            files: known.files.iter().map(remote).collect(),
            unpacks_to: known.unpacks_to,
        });
    }
    let known: Vec<&str> = KNOWN.iter().map(|k| k.name).collect();
    let (Some(url), Some(sha256)) = (url, sha256) else {
        let known = known.join(", ");
        let reason = format!("must be named for '{name}', which is not one of {known}; so must its `sha256`");
        return Err(Error::setting("url", None, reason));
    };
    let file = url.split(['?', '#']).next().and_then(|u| u.rsplit('/').next()).unwrap_or_default();
    let file =
        folder_name(file).map_err(|_| Error::setting("url", Some(url), "does not end in a file's name"))?;
    let remote = Remote { url: url.into(), name: file, sum: Sum::Sha256(hex(&sha256)) };
    Ok(Download { files: vec![remote], unpacks_to: None })
}

/// What a fetch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Everything was there already.
    Already,
    /// Something was downloaded.
    Now,
}

/// How far the download of a file is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes of the whole file, where the server says so.
    pub of: Option<u64>,
}

/// Downloads into `folder` what is not there yet; `told` hears of every piece that comes. What is there whole is what was checked before: files get their names last.
///
/// # Errors
/// When a server does not answer, a sum is wrong, or the folder cannot be written to. A part that is right so far is kept.
pub fn fetch(what: &Download, folder: &Path, told: &mut dyn FnMut(Progress<'_>)) -> Result<Fetched> {
    if let Some(inner) = what.unpacks_to
        && folder.join(inner).is_dir()
    {
        return Ok(Fetched::Already);
    }
    fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
    let mut done = Fetched::Already;
    for file in &what.files {
        let path = folder.join(&file.name);
        if !path.is_file() {
            download(file, &path, told)?;
            done = Fetched::Now;
        }
        if let Some(inner) = what.unpacks_to {
            unpack(&path, folder, inner)?;
            fs::remove_file(&path).map_err(|e| Error::write(&path, e))?;
            done = Fetched::Now;
        }
    }
    Ok(done)
}

/// How often a download that breaks off is taken up again.
const ATTEMPTS: usize = 3;

fn download(file: &Remote, path: &Path, told: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
    let part = path.with_file_name(format!("{}.part", file.name));
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match transfer(&file.url, &part, &mut |bytes, of| told(Progress { file: &file.name, bytes, of }))? {
            Ok(()) => {
                let found = sum_of(&part, &file.sum)?;
                if found != file.sum {
                    // What is wrong cannot be gone on with.
                    fs::remove_file(&part).map_err(|e| Error::write(&part, e))?;
                    let (Sum::Md5(found) | Sum::Sha256(found)) = found;
                    let (Sum::Md5(wanted) | Sum::Sha256(wanted)) = &file.sum;
                    let reason = format!(
                        "what came has the checksum {found}, {wanted} was expected; it was thrown away"
                    );
                    return Err(Error::Network { url: file.url.clone(), reason });
                }
                return fs::rename(&part, path).map_err(|e| Error::write(path, e));
            }
            Err(reason) => last = reason,
        }
    }
    let kept = match part.is_file() {
        true => "; what came is kept, and the same command goes on from there",
        false => "",
    };
    Err(Error::Network { url: file.url.clone(), reason: format!("{last}{kept}") })
}

/// Appends what is missing to `part` and tells how many bytes are there, of how many. The inner error is the network's: it may be tried again.
fn transfer(
    url: &str,
    part: &Path,
    told: &mut dyn FnMut(u64, Option<u64>),
) -> Result<std::result::Result<(), String>> {
    let write = |e: std::io::Error| Error::write(part, e);
    let have = fs::metadata(part).map_or(0, |m| m.len());
    // Nobody waits for ever; a slow line is another matter.
    let wait = Some(Duration::from_secs(60));
    let config = ureq::Agent::config_builder()
        .timeout_connect(wait)
        .timeout_recv_response(wait)
        .timeout_per_read(wait);
    let agent = ureq::Agent::new_with_config(config.http_status_as_error(false).build());
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = match request.call() {
        Ok(response) => response,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(String::from);
    let continues = header("content-range").is_some_and(|r| r.starts_with(&format!("bytes {have}-")));
    let length = header("content-length").and_then(|l| l.parse::<u64>().ok());
    let mut out = match response.status().as_u16() {
        206 if continues => OpenOptions::new().append(true).open(part).map_err(write)?,
        // The whole file, from a server that does not know parts.
        200 => File::create(part).map_err(write)?,
        // There is no more than what we have, or our part is of another file.
        206 | 416 => {
            if header("content-range").is_some_and(|r| r == format!("bytes */{have}")) {
                return Ok(Ok(()));
            }
            fs::remove_file(part).map_err(write)?;
            return Ok(Err("the server does not go on from where the download was broken off".into()));
        }
        status => return Ok(Err(format!("the server answered {status}"))),
    };
    let start = out.metadata().map_err(write)?.len();
    let mut reader = response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut size = start;
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) => return Ok(Err(format!("broken off after {size} bytes: {e}"))),
        };
        size += n as u64;
        if size > MAX_BYTES {
            let reason = format!("more than {MAX_BYTES} bytes, the limit of this program");
            return Err(Error::Network { url: url.into(), reason });
        }
        out.write_all(&buffer[..n]).map_err(write)?;
        told(size, length.map(|l| start + l));
    }
    out.sync_all().map_err(write)?;
    if length.is_some_and(|l| start + l != size) {
        return Ok(Err(format!("broken off after {size} bytes")));
    }
    Ok(Ok(()))
}

/// The sum of a file, of the kind of `like`.
fn sum_of(path: &Path, like: &Sum) -> Result<Sum> {
    fn digest<D: Digest>(path: &Path) -> Result<String> {
        let read = |e: std::io::Error| Error::file(path, e.to_string());
        let mut file = File::open(path).map_err(read)?;
        let (mut digest, mut buffer) = (D::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer).map_err(read)? {
                0 => return Ok(hex(&digest.finalize())),
                n => digest.update(&buffer[..n]),
            }
        }
    }
    Ok(match like {
        Sum::Md5(_) => Sum::Md5(digest::<Md5>(path)?),
        Sum::Sha256(_) => Sum::Sha256(digest::<Sha256>(path)?),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Unpacks the files directly in the folder `inner` of a gzipped archive to that folder in `to`, whole or not at all.
fn unpack(archive: &Path, to: &Path, inner: &str) -> Result<()> {
    let read = |e: std::io::Error| Error::file(archive, format!("damaged archive: {e}"));
    let write = |e: std::io::Error| Error::write(to, e);
    let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(to).map_err(write)?;
    let file = File::open(archive).map_err(read)?;
    let mut archive_of = tar::Archive::new(flate2::read::GzDecoder::new(file).take(MAX_BYTES));
    for entry in archive_of.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let path = entry.path().map_err(read)?.into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path);
        // Plain files by name alone: nothing in an archive can lead elsewhere.
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && parent == Path::new(inner)
            && entry.header().entry_type().is_file()
        {
            let mut out = File::create(temporary.path().join(name)).map_err(write)?;
            std::io::copy(&mut entry, &mut out).map_err(read)?;
        }
    }
    let folder = temporary.keep();
    fs::rename(&folder, to.join(inner)).map_err(write)
}
