//! The file that a network's exported graph came in.

use super::write::write_atomically;
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use sph_nn::graph::{Imported, import};
use sph_pt2::Program;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A `.pt2` file of PyTorch's in memory, read.
#[derive(Clone)]
pub struct GraphFile {
    path: PathBuf,
    digest: String,
    program: Arc<Program>,
}

impl GraphFile {
    /// Whether a name is that of such a file, and not of a model of this program.
    pub fn is_one(name: &str) -> bool {
        Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("pt2"))
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::checkpoint(path, e.to_string()))?;
        let digest = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let program = Program::parse(&bytes).map_err(|e| Error::checkpoint(path, e.to_string()))?;
        Ok(GraphFile { path: path.to_path_buf(), digest, program: Arc::new(program) })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the file.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }

    /// SHA-256 of the file, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The network, with the file's values.
    ///
    /// # Errors
    /// When it has what this program does not know.
    pub fn build(&self, decouple: bool) -> Result<Imported> {
        import(&self.program, decouple).map_err(|e| Error::checkpoint(&self.path, e.to_string()))
    }

    /// Writes a copy to `path`.
    ///
    /// # Errors
    /// When the file is not what was read any more, or the copy cannot be written.
    pub fn copy(&self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(&self.path).map_err(|e| Error::checkpoint(&self.path, e.to_string()))?;
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        match digest == self.digest {
            true => write_atomically(path, &bytes),
            false => Err(Error::checkpoint(&self.path, "changed while it was used")),
        }
    }
}

impl std::fmt::Debug for GraphFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphFile").field("path", &self.path).field("digest", &self.digest).finish()
    }
}

impl PartialEq for GraphFile {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
