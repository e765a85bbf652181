//! One comparison at a time works in a folder.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A folder that is a comparison's as long as this lives. One that was made for it and is empty then is taken away again.
#[derive(Debug)]
pub struct Lock {
    folder: PathBuf,
    _file: Option<File>,
}

impl Lock {
    /// Locks the folder, which is made if there is none. Where a system cannot lock folders nothing is locked.
    ///
    /// # Errors
    /// When another comparison has it, or it cannot be made.
    pub fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
        let file = File::open(folder).ok();
        if let Some(Err(TryLockError::WouldBlock)) = file.as_ref().map(File::try_lock) {
            return Err(Error::Locked(folder.to_path_buf()));
        }
        Ok(Lock { folder: folder.to_path_buf(), _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only if nothing is in it.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

#[cfg(unix)]
#[test]
fn a_folder_is_one_comparison_s_and_none_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("c");
    let first = Lock::new(&folder).unwrap();
    let e = Lock::new(&folder).unwrap_err().to_string();
    assert!(e.contains("another comparison") && e.contains("`output`"), "{e}");
    drop(first);
    assert!(!folder.exists());
    let again = Lock::new(&folder).unwrap();
    std::fs::write(folder.join("runs.csv"), "").unwrap();
    drop(again);
    assert!(folder.exists());
}
