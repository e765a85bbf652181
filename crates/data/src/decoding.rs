//! Pictures of a data set, decoded, and what is said of them.

use crate::error::{Error, Result};
use crate::files;
use crate::formats::image_file::decode;
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use crate::pictures::{LeftOut, listed};
use crate::preprocess::Preprocessing;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Decoded images of a data set together take no more bytes: 16 GiB.
pub const MAX_DECODED: u64 = 16 << 30;

/// What was met when files were looked for and read.
#[derive(Default)]
pub(crate) struct ReadReport {
    /// What a user should know, a line each.
    pub lines: Vec<String>,
    /// Files that are no pictures.
    pub left_out: LeftOut,
    /// Files that could not be read, and why.
    broken: Vec<(PathBuf, String)>,
    /// Files of several pictures.
    several: Vec<PathBuf>,
    /// The least and the largest value, where some have more than 8 bits.
    range: Option<(f32, f32)>,
}

impl ReadReport {
    /// What a user should know of it, a line each.
    pub fn notes(&self, dir: &Path) -> Vec<String> {
        let (at, name) =
            (dir.display(), |path: &Path| path.strip_prefix(dir).unwrap_or(path).display().to_string());
        let mut notes = self.lines.clone();
        notes.extend(self.left_out.note(dir));
        if !self.broken.is_empty() {
            let files = listed(self.broken.iter().map(|(path, why)| format!("{} ({why})", name(path))));
            notes.push(format!(
                "{at}: pictures that cannot be read are left out ({}): {files}",
                self.broken.len()
            ));
        }
        if !self.several.is_empty() {
            let files = listed(self.several.iter().map(|path| name(path)));
            notes.push(format!("{at}: of files that hold several pictures the first is read: {files}"));
        }
        // Less than a sixteenth of the scale: not even 12 of 16 bits.
        if let Some((least, most)) = self.range.filter(|(least, most)| most - least < 255.0 / 16.0) {
            let [least, most] = [least, most].map(|v| (v * 257.0).round());
            notes.push(format!(
                "{at}: all values are from {least} to {most} of 65535; 16-bit pictures have one scale with 8-bit ones, 65535 being white"
            ));
        }
        notes
    }
}

/// Decodes the files, each with its class's number, on all cores. Images get the size that the settings say, or must have one: that of `expected`,
/// or of the first one.
///
/// # Errors
/// Naming the first file that cannot be read, or does not fit.
pub(crate) fn read(
    found: &[(PathBuf, u32)],
    expected: Option<(usize, usize, usize)>,
    options: &DataOptions,
    report: &mut ReadReport,
) -> Result<ImageSet> {
    let how = Preprocessing::of(options)?;
    /// Size and values of a picture, and whether its file holds others.
    type Picture = ((usize, usize), Pixels, bool);
    let decoded = |path: &Path| -> Result<Picture> {
        let picture = decode(&files::read(path)?, !options.no_exif).and_then(|picture| {
            let several = picture.first_of_several;
            how.apply(picture, 3).map(|(size, values)| (size, values, several))
        });
        picture.map_err(|e| Error::file(path, e))
    };
    let size = match (how.side(), expected) {
        (Some(side), _) => (side, side, 3),
        (None, Some(size)) => size,
        (None, None) => {
            let mut all = found.iter().map(|(path, _)| decoded(path));
            let first = match options.skip_broken {
                true => all.find(Result::is_ok),
                false => all.next(),
            };
            let first = first.ok_or_else(|| {
                let folder = found.first().and_then(|(path, _)| path.parent()).unwrap_or(Path::new(""));
                Error::file(folder, "every picture in it is broken")
            })?;
            let (h, w) = first?.0;
            (h, w, 3)
        }
    };
    let len = size.0 * size.1 * size.2;
    let check = |images: usize, bytes_each: usize| {
        let bytes = images as u64 * (len * bytes_each) as u64;
        if bytes <= MAX_DECODED {
            return Ok(bytes);
        }
        let (gib, limit) = (bytes >> 30, MAX_DECODED >> 30);
        let reason = format!(
            "makes {images} images of {}×{} pixels, which need {gib} GiB of memory, more than the limit of {limit}; choose a smaller one",
            size.0, size.1
        );
        Err(Error::setting("image-size", None, reason))
    };
    let mut images = vec![0u8; check(found.len(), 1)? as usize];
    /// What is not just bytes in their place, by the images' numbers.
    #[derive(Default)]
    struct Others {
        broken: Vec<(usize, String)>,
        several: Vec<usize>,
        deep: Vec<(usize, Vec<f32>)>,
    }
    let others = Mutex::new(Others::default());
    let others_now = || others.lock().unwrap_or_else(|e| e.into_inner());
    let one = |i: usize, path: &Path, out: &mut [u8]| -> Result<()> {
        let ((h, w), values, several) = match decoded(path) {
            Err(Error::File { reason, .. }) if options.skip_broken => {
                others_now().broken.push((i, reason));
                return Ok(());
            }
            picture => picture?,
        };
        if (h, w) != (size.0, size.1) {
            let way = if how == Preprocessing::None { "image-size" } else { "crop" };
            let reason =
                format!("{h}×{w} pixels, others have {}×{}; `{way}` makes them alike", size.0, size.1);
            return Err(Error::file(path, reason));
        }
        if several {
            others_now().several.push(i);
        }
        match values {
            Pixels::Bytes(values) => out.copy_from_slice(&values),
            Pixels::Floats(values) => {
                // One of them makes floats of all.
                check(found.len(), size_of::<f32>())?;
                others_now().deep.push((i, values));
            }
        }
        Ok(())
    };
    let work = found.par_iter().zip(images.par_chunks_exact_mut(len.max(1))).enumerate();
    // The first file in order, whichever core was first.
    if let Some(e) = work.find_map_first(|(i, ((path, _), out))| one(i, path, out).err()) {
        return Err(e);
    }
    let mut others = others.into_inner().unwrap_or_else(|e| e.into_inner());
    let images = match others.deep.is_empty() {
        true => Pixels::Bytes(images),
        false => {
            let mut values: Vec<f32> = images.into_iter().map(f32::from).collect();
            others.deep.iter().for_each(|(i, deep)| values[i * len..][..len].copy_from_slice(deep));
            Pixels::Floats(values)
        }
    };
    others.broken.sort_unstable();
    others.several.sort_unstable();
    report.several.extend(others.several.iter().map(|i| found[*i].0.clone()));
    let set = ImageSet::new(size, images, found.iter().map(|f| f.1).collect());
    let set = match others.broken.is_empty() {
        true => set,
        false => {
            let broken = |i: &usize| others.broken.binary_search_by_key(i, |b| b.0).is_ok();
            set.select(&(0..found.len()).filter(|i| !broken(i)).collect::<Vec<_>>())
        }
    };
    report.broken.extend(others.broken.into_iter().map(|(i, why)| (found[i].0.clone(), why)));
    if let Pixels::Floats(values) = &set.images {
        let all = values.iter().chain(report.range.iter().flat_map(|(least, most)| [least, most]));
        let range = all.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        report.range = Some(range);
    }
    Ok(set)
}
