//! Models by name. A new model is a file here and a row of [`MODELS`].

mod mlp;
mod resnet;
mod vgg;

pub use mlp::mlp;
pub use resnet::{ResNet, resnet};
pub use vgg::vgg;

use crate::layers::Followed;
use crate::norms::NormRow;
use crate::{Builder, Model, Network};

/// What a model must know of its data.
#[derive(Debug, Clone, Copy)]
pub struct ModelConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Height and width of the images.
    pub image_size: (usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// The norm between its layers.
    pub norm: &'static NormRow,
    /// Decouple the weights of every layer that no norm follows.
    pub decouple: bool,
}

impl ModelConfig {
    /// What stands behind a layer in front of this configuration's norm.
    fn followed(&self) -> Followed {
        if self.norm.normalizes { Followed::ByNorm } else { Followed::ByOther { decouple: self.decouple } }
    }
}

/// A row of the table of models.
pub struct ModelRow {
    /// The name users give.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Builds it.
    pub build: fn(&mut Builder, &ModelConfig) -> Box<dyn Model>,
}

/// All models.
pub const MODELS: &[ModelRow] = &[
    ModelRow {
        name: "mlp",
        about: "three hidden layers of 64 with norms",
        build: |b, c| mlp(b, c, &[64, 64, 64]),
    },
    ModelRow {
        name: "resnet8",
        about: "CIFAR-style ResNet, widths 16-32-64, one block each",
        build: |b, c| resnet(b, c, &[1, 1, 1], &[16, 32, 64]),
    },
    ModelRow {
        name: "resnet20",
        about: "CIFAR-style ResNet, widths 16-32-64, three blocks each",
        build: |b, c| resnet(b, c, &[3, 3, 3], &[16, 32, 64]),
    },
    ModelRow {
        name: "vgg11",
        about: "VGG-11, 8 convolutions of width 64 to 512, images of 32 pixels and more",
        build: |b, c| vgg(b, c, &[&[64], &[128], &[256, 256], &[512, 512], &[512, 512]]),
    },
];

/// The model that is trained when none is named.
pub const DEFAULT: &str = "resnet8";

/// Builds the model called `name`; `None` when there is none.
pub fn build(name: &str, config: &ModelConfig) -> Option<Network> {
    let row = MODELS.iter().find(|row| row.name == name)?;
    let mut b = Builder::default();
    let model = (row.build)(&mut b, config);
    Some(b.finish(model))
}
