//! The zip archive: which files it has, and their bytes, within limits.

use crate::error::{Error, Place, Problem};
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

/// What a file of so many bytes may unpack to, and what its tensors may have together when they are laid out one element after another. Both
/// are counted while reading, since sizes that a file declares may lie. PyTorch compresses nothing, so its own files stay far
/// below; files that people zipped anew do, too.
pub fn limit(file: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    file.saturating_mul(32).min(file.saturating_mul(8).saturating_add(8 * MIB))
}

/// An open archive.
pub struct Archive<R> {
    zip: ZipArchive<BufReader<R>>,
    /// Names of files start with this: nothing, or a folder.
    folder: String,
    /// The name of the graph's file, without `models/` and `.json`.
    model: String,
    /// Bytes that may be unpacked, and those that still may.
    limit: u64,
    left: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive with one graph. Whether it can be read is decided by its list of files as far as that tells.
    pub fn open(mut file: R) -> Result<Self, Error> {
        let whole = |problem| Error { path: None, place: Place::File, problem };
        let bytes = file.seek(io::SeekFrom::End(0)).map_err(|e| whole(Problem::Io(e.to_string())))?;
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, BufReader::new(file)).map_err(|e| {
            whole(match e {
                ZipError::Io(e) if e.kind() != io::ErrorKind::UnexpectedEof => Problem::Io(e.to_string()),
                e => Problem::NotAnArchive(e.to_string()),
            })
        })?;
        if zip.has_duplicate_names() {
            return Err(whole(Problem::SameName));
        }
        let (limit, names) = (limit(bytes), Names::of(&zip));
        let (folder, model) = names.graph().map_err(whole)?;
        let mut archive = Self { zip, folder, model, limit, left: limit };
        archive.check_versions()?;
        Ok(archive)
    }

    /// What the small files of PyTorch's own writer say.
    fn check_versions(&mut self) -> Result<(), Error> {
        for (name, right, problem) in [
            ("archive_version", "0", Problem::ArchiveVersion as fn(String) -> Problem),
            ("byteorder", "little", Problem::ByteOrder),
        ] {
            if self.has(name) {
                let text = String::from_utf8_lossy(&self.read(name)?).into_owned();
                if text.trim() != right {
                    return Err(self.error(name, problem(text)));
                }
            }
        }
        if !self.has(&self.config("weights")) && self.has(&format!("data/weights/{}.pt", self.model)) {
            return Err(Error { path: None, place: Place::File, problem: Problem::OlderFormat(None) });
        }
        Ok(())
    }

    /// The name of the graph's file.
    pub fn graph(&self) -> String {
        format!("models/{}.json", self.model)
    }

    /// The name of the file that lists the tensors of a folder of `data/`.
    pub fn config(&self, folder: &str) -> String {
        format!("data/{folder}/{}_{folder}_config.json", self.model)
    }

    /// An error in a file of the archive.
    pub fn error(&self, name: &str, problem: Problem) -> Error {
        Error { path: None, place: Place::Entry(self.folder.clone() + name), problem }
    }

    /// Bytes that all of the file's tensors may have.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&(self.folder.clone() + name)).is_some()
    }

    /// The bytes of a file of text.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        self.unpack(name, |size| vec![0; size], Vec::as_mut_slice)
    }

    /// The bytes of a tensor's file. They are unpacked once, into memory that tensors share.
    pub fn read_shared(&mut self, name: &str) -> Result<Arc<[u8]>, Error> {
        let zeros = |size| std::iter::repeat_n(0, size).collect::<Arc<[u8]>>();
        self.unpack(name, zeros, |bytes| Arc::get_mut(bytes).expect("nobody else has them yet"))
    }

    /// Fills memory of the declared size, once that is within the limit; more and less than it is an error.
    fn unpack<B>(
        &mut self,
        name: &str,
        memory: impl FnOnce(usize) -> B,
        slice: impl FnOnce(&mut B) -> &mut [u8],
    ) -> Result<B, Error> {
        let index = self.zip.index_for_name(&(self.folder.clone() + name));
        let index = index.ok_or_else(|| self.error(name, Problem::Missing))?;
        let (limit, left) = (self.limit, self.left);
        let unpacked = || {
            let damaged = |e: io::Error| Problem::Damaged(e.to_string());
            let mut entry = self.zip.by_index(index).map_err(|e| Problem::Damaged(e.to_string()))?;
            let bytes = entry.size();
            if bytes > left {
                return Err(Problem::Unpacks { bytes, left, limit });
            }
            let mut to = memory(bytes as usize);
            entry.read_exact(slice(&mut to)).map_err(damaged)?;
            // The end is where the check sum is compared, and where there must be no more.
            if entry.read(&mut [0]).map_err(damaged)? != 0 {
                return Err(Problem::Damaged("it is longer than it says".into()));
            }
            Ok((to, bytes))
        };
        let (to, bytes) = unpacked().map_err(|problem| self.error(name, problem))?;
        self.left -= bytes;
        Ok(to)
    }
}

/// The files of an archive.
struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    /// Names that are no text lead nowhere here.
    fn of<R: Read + Seek>(zip: &'a ZipArchive<R>) -> Self {
        Self(zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok()).collect())
    }

    /// The folder and the name of the one graph: `folder/models/name.json`, with or without a folder. What has none is told by the
    /// files that it has instead.
    fn graph(&self) -> Result<(String, String), Problem> {
        let graph = |name: &&'a str| {
            let (path, file) = name.strip_suffix(".json")?.rsplit_once('/')?;
            let folder = path.strip_suffix("models")?;
            let inside = folder.strip_suffix('/').unwrap_or(folder);
            let plain = !inside.contains('/') && (inside.is_empty() == folder.is_empty()) && !file.is_empty();
            plain.then_some((folder, file))
        };
        let graphs: Vec<_> = self.0.iter().filter_map(graph).collect();
        match graphs[..] {
            [(folder, file)] => Ok((folder.into(), file.into())),
            [] => Err(self.instead()),
            _ => Err(Problem::Several(graphs.iter().map(|(_, file)| String::from(*file)).collect())),
        }
    }

    fn instead(&self) -> Problem {
        let any = |end: &str| {
            self.0.iter().any(|n| n.strip_suffix(end).is_some_and(|n| n.is_empty() || n.ends_with('/')))
        };
        let inside =
            |part: &str| self.0.iter().any(|n| n.starts_with(part) || n.contains(&format!("/{part}")));
        if any("serialized_exported_program.json") {
            Problem::OlderFormat(Some("2.7 or before".into()))
        } else if inside("data/aotinductor/") {
            Problem::Compiled
        } else if any("constants.pkl") || inside("code/__torch__") {
            Problem::TorchScript
        } else if any("data.pkl") {
            Problem::TorchSave
        } else {
            Problem::NoGraph
        }
    }
}
