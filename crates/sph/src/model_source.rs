//! The model that a command works on: that of a run, of a model file, or one with initial values.

use crate::config::{self, ModelSource, TrainArgs, shown};
use crate::data_source;
use crate::error::{Error, Result};
use sph_data::{DataOptions, Division};
use sph_train::files::{Checkpoint, ModelFile, RunFolder};
use sph_train::{LoadedModel, ModelInfo, TrainingOverlap};
use std::path::Path;

/// The CRC-32 of a model file, or of that of a run's best epoch; `None` where it cannot be read.
pub fn crc32_of(path: &Path) -> Option<u32> {
    let file = if path.is_dir() { RunFolder::at(path).best() } else { path.to_path_buf() };
    Some(ModelFile::read(&file).ok()?.crc32())
}

/// The CRC-32 of what a run was trained and tested on, where it is known.
fn crc32_of_data(run: &RunFolder) -> Option<u32> {
    let result = run.read_result().ok().flatten().and_then(|r| r.data_crc32);
    result.or_else(|| Checkpoint::read(&run.checkpoint()).ok()?.progress.data_crc32)
}

/// Whether both read the same files, however their folder is spelled.
fn same_files(a: &DataOptions, b: &DataOptions) -> bool {
    let place = |o: &DataOptions| o.data_dir.as_ref().map(|d| d.canonicalize().unwrap_or(d.clone()));
    place(a) == place(b)
}

impl ModelSource {
    /// The model of `path`, a run's folder (its best epoch) or a model file, or one with initial values. The data set is read when
    /// `with_data`, or when there is no file that tells images and classes.
    ///
    /// # Errors
    /// When files and settings do not fit each other.
    pub fn find(&self, path: Option<&Path>, with_data: bool) -> Result<LoadedModel> {
        let mut settings = None;
        let mut path = path.map(Path::to_path_buf);
        if let Some(folder) = path.as_deref().filter(|p| p.is_dir()) {
            let run = RunFolder::at(folder);
            let text = std::fs::read_to_string(run.args())
                .map_err(|e| Error::file(&run.args(), format!("{e}; is it the folder of a run?")))?;
            let args = TrainArgs::from_toml(&text, &shown(&run.args()))?;
            path = Some(run.best());
            settings = Some((run, args));
        }
        let file = path.as_deref().map(ModelFile::read).transpose()?;
        let said = file.as_ref().map(ModelFile::info).transpose()?.flatten();
        let model = self.model.clone().or(said.as_ref().map(|i| i.model.clone()));
        let model = model.ok_or_else(|| match &file {
            Some(file) => {
                let path = file.path().display();
                Error::NoModel { path: Some(path.to_string()) }
            }
            None => Error::NoModel { path: None },
        })?;
        let norm = self.norm.clone().or(said.as_ref().map(|i| i.norm.clone()));
        let norm = config::norm(norm.as_deref(), &model)?.name.to_string();
        let stem = self.stem.clone().or(said.as_ref().and_then(|i| i.stem.clone()));
        let decouple = match &self.decouple {
            Some(name) => name == "auto",
            None => said.as_ref().is_some_and(|i| i.decouple),
        };
        let same = said.as_ref().filter(|i| self.dataset.as_ref().is_none_or(|d| *d == i.dataset));
        let dataset = self
            .dataset
            .clone()
            .or(said.as_ref().map(|i| i.dataset.clone()))
            .unwrap_or(sph_data::DEFAULT.into());
        let options = DataOptions {
            data_dir: self
                .data
                .data_dir
                .clone()
                .or(settings.as_ref().filter(|_| same.is_some()).and_then(|s| s.1.data.data_dir.clone())),
            image_size: self.data.image_size.or(said.as_ref().and_then(|i| i.data.image_size)),
            test_fraction: self.data.test_fraction.or(same.and_then(|i| i.data.test_fraction)),
            layout: self.data.layout.or(same.and_then(|i| i.data.layout)),
            skip_broken: self.data.skip_broken.unwrap_or(same.is_some_and(|i| i.data.skip_broken)),
            no_exif: self.data.no_exif.unwrap_or(same.is_some_and(|i| i.data.no_exif)),
        };
        let other = same.is_none();
        let classes_of_file = said.as_ref().map(|i| i.class_names.clone());
        let data = match with_data || said.is_none() {
            true => Some(data_source::load(&dataset, &options)?),
            false => None,
        };
        let overlap = match settings.as_ref().map(|(run, args)| (run, args, args.data.options())) {
            Some((_, run, data)) if !other && same_files(&data, &options) => {
                let fraction = |o: &DataOptions| o.test_fraction.unwrap_or(0.0);
                if fraction(&options) > fraction(&data) {
                    return Err(Error::flag(
                        "test-fraction",
                        fraction(&options).to_string(),
                        "is more than the run's: some of these test images were trained on; leave it out",
                    ));
                }
                // With fewer test images others are held out.
                let same = fraction(&options) == fraction(&data);
                TrainingOverlap::AllBut(if same { run.val_split } else { 0.0 })
            }
            // A copy of the files is the same data, whatever it is called.
            Some((folder, run, _)) => match data.as_ref().zip(crc32_of_data(folder)) {
                Some((data, there)) if data.crc32() == there => TrainingOverlap::AllBut(run.val_split),
                None if !other => TrainingOverlap::Unknown,
                _ => TrainingOverlap::None,
            },
            None if said.is_some() && other => TrainingOverlap::None,
            None if file.is_some() => TrainingOverlap::Unknown,
            None => TrainingOverlap::None,
        };
        let info = match (&data, said) {
            (Some(data), said) => {
                let mut info = ModelInfo::new(&model, &norm, &dataset, &options, data);
                // What the network was trained with, where it fits.
                if let Some(said) = said.filter(|s| s.input.2 == data.train.size.2) {
                    info.normalisation = said.normalisation;
                    if said.class_names.starts_with(&info.class_names) {
                        info.class_names = said.class_names;
                    }
                }
                info
            }
            (None, Some(said)) => {
                let data = DataOptions { data_dir: None, ..options.clone() };
                ModelInfo { model, norm, dataset, data, ..said }
            }
            (None, None) => return Err(Error::NoModel { path: None }),
        };
        let info = ModelInfo { decouple, stem, ..info };
        let division = settings.map_or(Division::default(), |s| s.1.division());
        Ok(LoadedModel { info, data, options, division, overlap, classes_of_file, file })
    }
}
