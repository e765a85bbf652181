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
    /// What was assumed of the data and its classes, a line each.
    pub notes: Vec<String>,
    /// The values came from a file of this program, which names its model, data and classes.
    pub is_ours: bool,
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
}
