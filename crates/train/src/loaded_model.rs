//! A network that a command works on, with what is known of it.

use crate::error::{Error, Result};
use crate::files::ModelFile;
use crate::model_info::ModelInfo;
use crate::objective::Objective;
use sph_data::{DataOptions, Dataset, Division};
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
    /// What the file calls its classes, where it is one of this program.
    pub classes_of_file: Option<Vec<String>>,
    /// The file that values come from.
    pub file: Option<ModelFile>,
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

    /// The network with the file's values, or initial ones drawn from `seed`.
    ///
    /// # Errors
    /// When the file is another model's.
    pub fn objective<T: Real>(&self, pool: &Pool<T>, seed: u64) -> Result<Objective<T>> {
        let mut objective = Objective::new(self.network()?, pool, seed);
        if let Some(file) = &self.file {
            file.load(&mut objective.store)?;
        }
        Ok(objective)
    }

    /// The data set.
    ///
    /// # Errors
    /// When it was not asked for.
    pub fn data(&self) -> Result<&Dataset> {
        self.data.as_ref().ok_or(Error::NoData)
    }

    /// That the data set's classes are not called what the network's are.
    ///
    /// # Errors
    /// When the data set was not read.
    pub fn note_of_classes(&self) -> Result<Option<String>> {
        let data = self.data()?;
        let other = self.classes_of_file.as_ref().is_some_and(|names| !names.starts_with(&data.class_names));
        let dataset = &self.info.dataset;
        Ok(other.then(|| {
            format!(
                "the classes of {dataset} have other names than the network's; they are compared by number"
            )
        }))
    }

    /// The values came from a file of this program, which names its model and data.
    pub fn is_ours(&self) -> bool {
        self.classes_of_file.is_some()
    }
}
