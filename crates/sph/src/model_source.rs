//! The model that a command works on: that of a run, of a model file, or one with initial values.

use crate::config::{self, ModelSource, TrainArgs, shown};
use crate::error::{Error, Result};
use sph_data::sets::{takes, unit};
use sph_data::{DataOptions, Dataset, Division, InputKind, InputSpec, only_numbered};
use sph_nn::graph::{Imported, InputInfo};
use sph_nn::losses::Loss;
use sph_train::files::{Checkpoint, GraphFile, ModelFile, RunFolder};
use sph_train::{LoadedModel, ModelInfo, NormalisedBy, TrainingOverlap, answers_of};
use std::path::{Path, PathBuf};

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

/// Which images a command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// None; the data set is read where no file tells images and classes.
    None,
    /// Training and test images.
    Parts,
    /// Training and test images, or all where the data set comes in one part and no fraction of it is to test on.
    PartsOrAll,
    /// All, however they are divided.
    All,
}

/// Whether both read the same files, however their places are spelled.
fn same_files(a: &DataOptions, b: &DataOptions) -> bool {
    let place = |path: &Option<PathBuf>| path.as_ref().map(|p| p.canonicalize().unwrap_or(p.clone()));
    let files = |o: &DataOptions| (place(&o.data_dir), place(&o.labels_file), o.emnist_split.clone());
    files(a) == files(b)
}

/// Gives the data the classes of the network, and says what is assumed of both, a line each.
fn notes(data: &mut Dataset, said: Option<&ModelInfo>, file: Option<&ModelFile>) -> Result<Vec<String>> {
    let mut notes = data.notes.clone();
    match (said, file) {
        (Some(said), _) => notes.extend(data.take_classes(&said.class_names)?),
        (None, Some(file)) if !only_numbered(&data.class_names) => notes.push(format!(
            "{} does not name its classes: the order of the data's is taken to be the same",
            file.path().display()
        )),
        _ => (),
    }
    Ok(notes)
}

impl ModelSource {
    /// The graph of the network, where it is no model of this program: the file that the user names, or the one beside the run or the
    /// model file that was trained with it.
    fn graph(
        &self,
        run: Option<&RunFolder>,
        file: Option<&ModelFile>,
        said: Option<&ModelInfo>,
    ) -> Result<Option<GraphFile>> {
        let trained = said.and_then(|i| Some((&i.model, i.graph.as_ref()?)));
        if let Some(name) = &self.model {
            if !GraphFile::is_one(name) {
                return Ok(None);
            }
            let graph = GraphFile::read(Path::new(name))?;
            if let Some((model, digest)) = trained.filter(|(_, digest)| *digest != graph.digest()) {
                let (own, other) = (&digest[..digest.len().min(12)], &graph.digest()[..12]);
                let reason = format!(
                    "is not the graph that was trained: '{model}' with SHA-256 {own}…, and not {other}…"
                );
                return Err(Error::flag("model", name.clone(), reason));
            }
            return Ok(Some(graph));
        }
        let Some((model, digest)) = trained else { return Ok(None) };
        let folder = file.and_then(|f| f.path().parent());
        let places = run.map(RunFolder::graph).into_iter().chain(folder.map(|f| RunFolder::at(f).graph()));
        for place in places.filter(|place| place.is_file()) {
            let graph = GraphFile::read(&place)?;
            if graph.digest() == digest {
                return Ok(Some(graph));
            }
        }
        Err(sph_train::Error::NoGraph { model: model.clone(), digest: digest.clone() }.into())
    }

    /// The model of `path`, a run's folder (its best epoch) or a model file, or one with initial values, with the `images` that a command
    /// works on.
    ///
    /// # Errors
    /// When files and settings do not fit each other.
    pub fn find(&self, path: Option<&Path>, images: Images) -> Result<LoadedModel> {
        let mut settings = None;
        // A graph is a network with values of its own.
        let own = path.filter(|p| p.to_str().is_some_and(GraphFile::is_one));
        let graph = own.map(GraphFile::read).transpose()?;
        let mut path = path.filter(|_| graph.is_none()).map(Path::to_path_buf);
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
        let graph = match graph {
            Some(graph) => Some(graph),
            None => self.graph(settings.as_ref().map(|s| &s.0), file.as_ref(), said.as_ref())?,
        };
        let model = graph.as_ref().map(GraphFile::name).or(self.model.clone());
        let model = model.or(said.as_ref().map(|i| i.model.clone()));
        let model = model.ok_or_else(|| match &file {
            Some(file) => {
                let path = file.path().display();
                Error::NoModel { path: Some(path.to_string()) }
            }
            None => Error::NoModel { path: None },
        })?;
        let norm = match &graph {
            Some(_) => {
                config::refuse_own(&self.norm, &self.stem)?;
                String::new()
            }
            None => {
                let norm = self.norm.clone().or(said.as_ref().map(|i| i.norm.clone()));
                config::norm(norm.as_deref(), &model)?.name.to_string()
            }
        };
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
        let loss = match (self.loss, &said) {
            (Some(loss), _) => loss,
            (None, Some(said)) => said.loss()?,
            (None, None) => Loss::CrossEntropy,
        };
        let given = self.data.options();
        // What the user does not say is as the run had it, or the file, of the same data set; files belong to their folder.
        let run = settings.as_ref().filter(|_| same.is_some() && given.data_dir.is_none());
        let run = run.map(|s| s.1.data.options()).unwrap_or_default();
        // What the network's images were made to be, unless that is said anew, or the data set has none of it.
        let way = given.image_size.is_none() && given.resize.is_none() && given.crop.is_none();
        let of_file = said.as_ref().map(|i| &i.data).filter(|_| way);
        let pictures = of_file.filter(|_| takes(&dataset, "resize"));
        let mut options = DataOptions {
            data_dir: given.data_dir.clone().or(run.data_dir.clone()),
            image_size: given.image_size.or(of_file.and_then(|d| d.image_size)),
            resize: given.resize.or(pictures.and_then(|d| d.resize)),
            crop: given.crop.or(pictures.and_then(|d| d.crop)),
            interpolation: given.interpolation.or(pictures.and_then(|d| d.interpolation)),
            test_fraction: given.test_fraction,
            layout: given.layout.or(same.and_then(|i| i.data.layout)),
            class_names: given.class_names.or(run.class_names),
            labels_file: given.labels_file.or(run.labels_file),
            emnist_split: given.emnist_split.or(same.and_then(|i| i.data.emnist_split.clone())),
            skip_broken: self.data.skip_broken.unwrap_or(same.is_some_and(|i| i.data.skip_broken)),
            no_exif: self.data.no_exif.unwrap_or(same.is_some_and(|i| i.data.no_exif)),
            whole: images != Images::Parts,
            inputs: Vec::new(),
            answers: answers_of(loss),
        };
        let (other, is_ours) = (same.is_none(), said.is_some());
        let imported = graph.as_ref().map(|g| g.build(decouple)).transpose()?;
        let fitted = imported.as_ref().and_then(|network| fit_data(network, &dataset, &mut options));
        // The scale of arrays is their own, and flags are on torchvision's.
        let scaled = self.normalisation.mean.is_some() && takes(&dataset, "layout");
        let fraction = same.filter(|_| images != Images::All).and_then(|i| i.data.test_fraction);
        let mut data = match images != Images::None || said.is_none() || scaled {
            true => {
                if let Some(dir) = run.data_dir.filter(|dir| !dir.exists()) {
                    return Err(moved(&dir));
                }
                let elsewhere = settings.as_ref().filter(|s| !same_files(&s.1.data.options(), &options));
                let data = read(&dataset, &mut options, fraction, elsewhere.map(|s| &s.0))?;
                options.whole = data.is_whole();
                Some(data)
            }
            false => {
                options.test_fraction = options.test_fraction.or(fraction);
                options.whole = false;
                None
            }
        };
        let mut notes = match &mut data {
            Some(data) => notes(data, said.as_ref(), file.as_ref())?,
            None => Vec::new(),
        };
        if let Some(imported) = imported {
            notes.extend(fitted);
            notes.extend(imported.notes);
        }
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
        let mut normalised_by = NormalisedBy::Images;
        let mut info = match (&data, said) {
            (Some(data), said) => {
                let mut info = ModelInfo::new(&model, &norm, &dataset, &options, data);
                // What the network was trained with, where it fits.
                if let Some(said) = said.filter(|s| s.input.2 == data.train.size.2) {
                    info.normalisation = said.normalisation;
                    normalised_by = NormalisedBy::File;
                }
                info
            }
            (None, Some(said)) => {
                normalised_by = NormalisedBy::File;
                let data = options.without_places();
                ModelInfo { model, norm, dataset, data, ..said }
            }
            (None, None) => return Err(Error::NoModel { path: None }),
        };
        let flags = match &data {
            Some(data) => self.normalisation.given_for(&data.train)?,
            None => self.normalisation.given(info.input.2)?,
        };
        if let Some(flags) = &flags {
            info.normalisation =
                flags.times(data.as_ref().map_or(255.0, |d| unit(&info.dataset, &d.train.images)));
            normalised_by = NormalisedBy::Flags(flags.clone());
        }
        let info = ModelInfo { decouple, stem, loss: loss.name().into(), ..info };
        let info = match graph {
            Some(file) => info.of_graph(file),
            None => info,
        };
        let division = settings.map_or(Division::default(), |s| s.1.division());
        Ok(LoadedModel { info, data, options, division, overlap, notes, is_ours, normalised_by, file })
    }
}

/// Has the data read as the network takes it: images made as large, where the user does not say how large, which is said; other inputs as
/// they are, found by their names.
pub(crate) fn fit_data(network: &Imported, dataset: &str, options: &mut DataOptions) -> Option<String> {
    let first = network.inputs.first()?;
    let images = first.shape.len() == 3 && !first.integer;
    // One row of numbers is features, which are normalized like images.
    if network.inputs.len() > 1 || first.integer || !(images || first.shape.len() == 1) {
        let kind = |(i, input): (usize, &InputInfo)| match (i, input.integer) {
            (0, false) if images => InputKind::Images,
            (_, true) => InputKind::Integers,
            _ => InputKind::Floats,
        };
        let spec = |(i, input)| {
            let InputInfo { name, shape, .. }: &InputInfo = input;
            InputSpec { name: name.clone(), kind: kind((i, input)), shape: shape.clone() }
        };
        options.inputs = network.inputs.iter().enumerate().map(spec).collect();
    }
    let [_, height, width] = first.shape[..] else { return None };
    if !images {
        return None;
    }
    let open = options.image_size.is_none() && options.resize.is_none() && options.crop.is_none();
    if !open || height != width || !takes(dataset, "image-size") {
        return None;
    }
    options.image_size = Some(height);
    Some(format!("images are made {height}×{width} pixels, as the network takes them"))
}

/// That the data of a run are not where they were.
pub(crate) fn moved(dir: &Path) -> Error {
    Error::file(dir, "not found; the run was trained on it; name its new place with --data-dir")
}

/// The data set, with the `fraction` to test on that was trained with, unless another one is named or it is another data set: one with test
/// images of its own, or, `elsewhere`, not the images of the run.
fn read(
    dataset: &str,
    options: &mut DataOptions,
    fraction: Option<f64>,
    elsewhere: Option<&RunFolder>,
) -> Result<Dataset> {
    if options.test_fraction.is_some() || fraction.is_none() {
        return Ok(sph_data::load(dataset, options)?);
    }
    options.test_fraction = fraction;
    let own = match sph_data::load(dataset, options) {
        Err(sph_data::Error::Setting { setting: "test-fraction", .. }) => None,
        data => Some(data?),
    };
    // Where the run does not tell, it may be its data: none that was trained on is to be tested on.
    let there = elsewhere.and_then(crc32_of_data);
    if let Some(own) = own.filter(|data| there.is_none_or(|there| data.crc32() == there)) {
        return Ok(own);
    }
    options.test_fraction = None;
    Ok(sph_data::load(dataset, options)?)
}
