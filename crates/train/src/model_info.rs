//! Which model it is: what files say of themselves, and what the model is built from.

use crate::error::{Error, Result};
use crate::files::GraphFile;
use serde::{Deserialize, Serialize};
use sph_data::{DataOptions, Dataset, Normalisation};
use sph_nn::Network;
use sph_nn::graph::Imported;
use sph_nn::losses::{LOSSES, Loss};
use sph_nn::models::{self, ModelConfig, STEMS};
use sph_nn::norms;

/// What a model file says about itself, beside PyTorch's tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The model's name, or that of the file that its graph came in.
    pub model: String,
    /// SHA-256 of the file that its graph came in, where it is no model of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// That file, once it is found.
    #[serde(skip)]
    pub graph_file: Option<GraphFile>,
    /// The norm between its layers, by name; empty for a graph, which has its own.
    pub norm: String,
    /// Layers that no norm follows are decoupled.
    pub decouple: bool,
    /// The stem, where it was named.
    #[serde(default)]
    pub stem: Option<String>,
    /// The data set it was trained on.
    pub dataset: String,
    /// How that was read; where it was is nobody else's business.
    #[serde(default)]
    pub data: DataOptions,
    /// Height, width and channels of the images it takes.
    pub input: (usize, usize, usize),
    /// What the classes are called, in the order of the outputs.
    pub class_names: Vec<String>,
    /// What was done to pixels: (value − mean)/std per channel, on the files' own scale.
    pub normalisation: Normalisation,
    /// The loss that it was trained with, by name.
    #[serde(default = "cross_entropy", skip_serializing_if = "is_cross_entropy")]
    pub loss: String,
}

fn cross_entropy() -> String {
    Loss::CrossEntropy.name().into()
}

fn is_cross_entropy(loss: &str) -> bool {
    loss == Loss::CrossEntropy.name()
}

impl ModelInfo {
    /// A model of the given name and norm, whole, for the images and classes of `data`.
    pub fn new(model: &str, norm: &str, dataset: &str, options: &DataOptions, data: &Dataset) -> Self {
        ModelInfo {
            model: model.into(),
            graph: None,
            graph_file: None,
            norm: norm.into(),
            decouple: false,
            stem: None,
            dataset: dataset.into(),
            data: options.without_places(),
            input: data.train.size,
            class_names: data.class_names.clone(),
            normalisation: data.normalisation.clone(),
            loss: cross_entropy(),
        }
    }

    /// The same for a network whose graph is in `file`.
    pub fn of_graph(self, file: GraphFile) -> Self {
        let graph = Some(file.digest().to_string());
        ModelInfo { model: file.name(), graph, graph_file: Some(file), norm: String::new(), ..self }
    }

    /// The graph of a network that is no model of this program, built, with its notes.
    ///
    /// # Errors
    /// When its file was not found, it cannot be built, or it takes other inputs or gives other outputs than `self` says.
    pub fn imported(&self) -> Result<Option<Imported>> {
        let Some(digest) = &self.graph else { return Ok(None) };
        let Some(file) = &self.graph_file else {
            return Err(Error::NoGraph { model: self.model.clone(), digest: digest.clone() });
        };
        let imported = file.build(self.decouple)?;
        let fail = |reason: String| Err(Error::checkpoint(file.path(), reason));
        let (h, w, c) = self.input;
        let (first, takes) = (&imported.inputs[0], &imported.inputs[0].shape);
        let pictures = takes.len() == 3 && !first.integer;
        let fits =
            if pictures { takes[..] == [c, h, w] } else { takes.iter().product::<usize>() == c * h * w };
        if !fits {
            let sized = pictures && takes[1] == takes[2] && takes[0] == c;
            let more =
                if sized { format!("; `image-size` {} makes them so", takes[1]) } else { String::new() };
            let given = if pictures { vec![c, h, w] } else { vec![c * h * w] };
            return fail(format!(
                "the network takes inputs of {}, the data has {}{more}",
                times(takes),
                times(&given)
            ));
        }
        let classes = self.class_names.len();
        match (imported.output.as_deref(), self.loss()?) {
            (None, Loss::Graph) => Ok(Some(imported)),
            (None, _) => {
                fail("the network gives a single number, its own loss; `loss` graph takes it".into())
            }
            (Some(_), Loss::Graph) => {
                fail("the network gives a row for each sample, and no loss of its own".into())
            }
            // Tokens that the data does not have may come elsewhere.
            (Some([.., outputs]), Loss::CrossEntropy | Loss::Entropy)
                if *outputs != classes && !(first.integer && *outputs > classes) =>
            {
                fail(format!(
                    "the network gives {outputs} numbers, the data has {classes} classes; export it for as many"
                ))
            }
            (Some(_), _) => Ok(Some(imported)),
        }
    }

    /// The loss.
    ///
    /// # Errors
    /// When its name is unknown.
    pub fn loss(&self) -> Result<Loss> {
        let row = LOSSES.iter().find(|row| row.0 == self.loss);
        row.map(|row| row.1).ok_or_else(|| Error::UnknownName(self.loss.clone()))
    }

    /// The model, with this dropout in training.
    ///
    /// # Errors
    /// When a name is unknown, or the model does not have what is said of it.
    pub fn build(&self, dropout: f64) -> Result<Network> {
        if let Some(imported) = self.imported()? {
            return Ok(imported.network);
        }
        let (h, w, c) = self.input;
        let unknown = |name: &str| Error::UnknownName(name.into());
        let stem = |name: &str| {
            let row = STEMS.iter().find(|row| row.0 == name);
            row.map(|row| row.1).ok_or_else(|| unknown(name))
        };
        let config = ModelConfig {
            norm: norms::find(&self.norm).ok_or_else(|| unknown(&self.norm))?,
            decouple: self.decouple,
            stem: self.stem.as_deref().map(stem).transpose()?,
            dropout,
            ..ModelConfig::new(c, (h, w), self.class_names.len())
        };
        Ok(models::build(&self.model, &config)?)
    }
}

/// Extents as people write them.
fn times(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}
