//! Picture files in folders: which there are, and what is left out.

use crate::error::{Error, Result};
use crate::formats::image_file::{self, HEAD};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What systems and programs leave in folders, beside hidden files.
const LEFT_BY_OTHERS: [&str; 2] = ["__MACOSX", "@eaDir"];

/// What is in a folder, but hidden files and what others leave there, in the order of the names' bytes.
///
/// # Errors
/// When the folder cannot be read.
pub fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(dir).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
    let mut listed: Vec<PathBuf> = listed.map_err(|e| Error::file(dir, e.to_string()))?;
    let is_ours = |name: &std::ffi::OsStr| {
        !name.as_encoded_bytes().starts_with(b".") && LEFT_BY_OTHERS.iter().all(|other| name != *other)
    };
    listed.retain(|p| p.file_name().is_some_and(is_ours));
    // The system's order is any.
    listed.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(listed)
}

/// The pictures in a folder, by their endings or, where those say nothing, by their content. Other files, and all in folders below it, are
/// counted in `left_out`.
///
/// # Errors
/// When the folder cannot be read.
pub fn in_folder(dir: &Path, left_out: &mut LeftOut) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)? {
        match () {
            () if path.is_dir() => left_out.add_below(&path),
            () if is_picture(&path) => found.push(path),
            () => left_out.add(&path),
        }
    }
    Ok(found)
}

/// The pictures in a folder and in those below it, folder by folder; links to folders are not followed.
///
/// # Errors
/// When a folder cannot be read.
pub fn in_tree(dir: &Path, left_out: &mut LeftOut) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)? {
        match () {
            () if path.is_dir() && !path.is_symlink() => found.extend(in_tree(&path, left_out)?),
            () if is_picture(&path) => found.push(path),
            () => left_out.add(&path),
        }
    }
    Ok(found)
}

/// Whether a path is a picture's, by its ending or its content.
pub fn is_picture(path: &Path) -> bool {
    // Only files are opened: reading a pipe would wait for its writer.
    path.is_file() && (image_file::has_ending(path) || head(path).is_some_and(|h| image_file::is_picture(&h)))
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// What `f` makes of each path, in their order, computed on all cores.
pub fn on_all_cores<T: Send>(paths: &[PathBuf], f: impl Fn(&Path) -> T + Sync) -> Vec<T> {
    paths.par_iter().map(|path| f(path)).collect()
}

/// The first few of many things, and how many others there are.
pub fn listed(things: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 20;
    let others = things.len().saturating_sub(SHOWN);
    let shown: Vec<String> = things.take(SHOWN).collect();
    let rest = if others > 0 { format!(" and {others} more") } else { String::new() };
    shown.join(", ") + &rest
}

/// Files that are no pictures, or lie too deep, counted by their endings.
#[derive(Debug, Default)]
pub struct LeftOut {
    others: BTreeMap<String, usize>,
    below: BTreeMap<String, usize>,
    first_below: Option<PathBuf>,
}

impl LeftOut {
    fn add(&mut self, path: &Path) {
        *self.others.entry(ending(path)).or_default() += 1;
    }

    fn add_below(&mut self, dir: &Path) {
        // What cannot be looked into is not known to hold anything.
        for path in entries(dir).unwrap_or_default() {
            if path.is_dir() {
                if !path.is_symlink() {
                    self.add_below(&path);
                }
                continue;
            }
            *self.below.entry(ending(&path)).or_default() += 1;
            self.first_below.get_or_insert(path);
        }
    }

    /// A line that says so of the folder `dir`; `None` where there are none.
    pub fn note(&self, dir: &Path) -> Option<String> {
        let counts = |of: &BTreeMap<String, usize>| {
            of.iter().map(|(ending, n)| format!("{n} {ending}")).collect::<Vec<_>>().join(", ")
        };
        let mut parts = Vec::new();
        if !self.others.is_empty() {
            parts.push(format!("no pictures: {}", counts(&self.others)));
        }
        if let Some(first) = &self.first_below {
            let first = first.strip_prefix(dir).unwrap_or(first).display();
            parts.push(format!("in folders below class folders: {} (such as {first})", counts(&self.below)));
        }
        (!parts.is_empty()).then(|| format!("{}: files are left out; {}", dir.display(), parts.join("; ")))
    }
}

fn ending(path: &Path) -> String {
    path.extension().map_or("without ending".into(), |e| format!(".{}", e.to_string_lossy().to_lowercase()))
}
