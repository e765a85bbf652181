//! A network that a command works on, with what is known of it.

use crate::error::{Error, Result};
use crate::files::ModelFile;
use crate::model_info::ModelInfo;
use crate::objective::Objective;
use sph_data::{DataOptions, Dataset, Division, Normalisation};
use sph_nn::{Network, Real};
use sph_tensor::Pool;

/// A network of a run or a model file, or one with initial values.
pub struct LoadedModel {
    /// What is known about it.
    pub info: ModelInfo,
    /// The data set, where it was asked for or needed.
    pub data: Option<Dataset>,
    /// How the data set is read.
    pub options: DataOptions,
    /// How the run divided the training images; for a file, all are trained on.
    pub division: Division,
    /// Which of the data set's training images the network was trained on.
    pub overlap: TrainingOverlap,
    /// What was assumed of the data and its classes, a line each.
    pub notes: Vec<String>,
    /// The values came from a file of this program, which names its model, data and classes.
    pub is_ours: bool,
    /// Who says how images are normalized.
    pub normalised_by: NormalisedBy,
    /// The file that values come from.
    pub file: Option<ModelFile>,
}

/// Who says how images are normalized.
#[derive(Debug, Clone, PartialEq)]
pub enum NormalisedBy {
    /// The user, on torchvision's scale ([`sph_data::Pixels::unit`]).
    Flags(Normalisation),
    /// The network's file.
    File,
    /// Nobody: the training images' own mean and deviation are taken.
    Images,
}

/// Which training images of a data set a network was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainingOverlap {
    /// None of them: it is other data, or the network has initial values.
    None,
    /// At most those that are left when this fraction is held out.
    AllBut(f64),
    /// Nobody knows: a file without its run's folder does not tell, nor one of another program.
    Unknown,
}

impl LoadedModel {
    /// The network.
    ///
    /// # Errors
    /// See [`ModelInfo::build`].
    pub fn network(&self) -> Result<Network> {
        self.info.build(0.0)
    }

    /// The network with the file's values, or initial ones drawn from `seed`; and what a user should know of it, a line each.
    ///
    /// # Errors
    /// When the file is another model's.
    pub fn objective<T: Real>(&self, pool: &Pool<T>, seed: u64) -> Result<(Objective<T>, Vec<String>)> {
        let mut objective = Objective::new(self.network()?, pool, seed);
        objective.loss = self.info.loss()?;
        let mut notes = Vec::new();
        if let Some(file) = &self.file {
            notes.extend(file.load(&mut objective.store)?);
        }
        notes.extend(self.note_of_normalisation());
        Ok((objective, notes))
    }

    /// The data set.
    ///
    /// # Errors
    /// When it was not asked for.
    pub fn data(&self) -> Result<&Dataset> {
        self.data.as_ref().ok_or(Error::NoData)
    }

    /// What values are normalized by on whose scale `unit` stands for torchvision's 1 ([`sph_data::Pixels::unit`]).
    pub fn normalisation(&self, unit: f64) -> Normalisation {
        match &self.normalised_by {
            NormalisedBy::Flags(given) => given.times(unit),
            _ => self.info.normalisation.clone(),
        }
    }

    /// What images are normalized by, as flags, where the file does not say it; and where nobody does, what is assumed.
    fn note_of_normalisation(&self) -> Option<String> {
        match (&self.normalised_by, &self.file, &self.data) {
            (_, _, Some(data)) if data.train.as_is.is_some() => None,
            (NormalisedBy::Flags(given), _, _) => {
                Some(format!("images are normalized by {}", as_flags(given)))
            }
            (NormalisedBy::Images, Some(file), Some(data)) => {
                let taken = as_flags(
                    &self
                        .info
                        .normalisation
                        .times(1.0 / sph_data::sets::unit(&self.info.dataset, &data.train.images)),
                );
                let (path, dataset) = (file.path().display(), &self.info.dataset);
                Some(format!(
                    "{path} does not say how its images are normalized: {taken}, those of the images of {dataset}, are taken; name the network's own"
                ))
            }
            _ => None,
        }
    }
}

/// A normalisation on torchvision's scale, for people.
pub fn as_flags(n: &Normalisation) -> String {
    let list = |values: &[f64]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(",");
    format!("`mean` {} `std` {}", list(&n.mean), list(&n.std))
}
