//! Models by name. A new model is a file here and a row of [`MODELS`].

mod mlp;
mod mlp_mixer;
mod mobilenet;
mod preact_resnet;
mod resnet;
mod vgg;
mod vit;

pub use mlp::mlp;
pub use mlp_mixer::{MixerSize, mlp_mixer};
pub use mobilenet::mobilenet;
pub use preact_resnet::preact_resnet;
pub use resnet::{Branch, residual, resnet};
pub use vgg::vgg;
pub use vit::{VitSize, vit};

use crate::layers::Followed;
use crate::norms::{self, NORMS, NormRow};
use crate::{Builder, Model, Network};

/// The first layers of a residual network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stem {
    /// A 3×3 convolution at stride 1.
    Cifar,
    /// A 7×7 convolution at stride 2 and max pooling.
    Imagenet,
}

/// The stems by the names users give, and what they are.
pub const STEMS: &[(&str, Stem, &str)] = &[
    ("cifar", Stem::Cifar, "3×3 at stride 1, for images under 64 pixels"),
    ("imagenet", Stem::Imagenet, "7×7 at stride 2 and max pooling, for larger images"),
];

impl Stem {
    /// The usual stem for images of this height and width.
    pub fn of_size((h, w): (usize, usize)) -> Self {
        if h.min(w) < 64 { Stem::Cifar } else { Stem::Imagenet }
    }
}

/// The sizes of the data and the choices of the user that a model is built from.
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
    /// The stem, for models that have a choice; by the images' size when `None`.
    pub stem: Option<Stem>,
    /// Probability of dropout, for models that have places for it; in [0, 1).
    pub dropout: f64,
}

impl ModelConfig {
    /// BatchNorm, nothing decoupled, no dropout.
    pub fn new(in_channels: usize, image_size: (usize, usize), classes: usize) -> Self {
        let norm = norms::DEFAULT;
        ModelConfig { in_channels, image_size, classes, norm, decouple: false, stem: None, dropout: 0.0 }
    }

    /// What follows a layer that has this configuration's norm behind it.
    fn followed(&self) -> Followed {
        if self.norm.normalizes { Followed::ByNorm } else { Followed::ByOther { decouple: self.decouple } }
    }

    /// The norm for tokens.
    fn token_norm(&self, b: &mut Builder, layer: &str, channels: usize) -> Box<dyn Model> {
        (self.norm.tokens.expect("a norm for tokens, as `build` checks"))(b, layer, channels)
    }
}

/// A row of the table of models.
pub struct ModelRow {
    /// The name users give.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Works on tokens: its norms are those for tokens, and it has places for dropout.
    pub tokens: bool,
    /// Has a choice of stems.
    pub stems: bool,
    /// Builds it.
    pub build: fn(&mut Builder, &ModelConfig) -> Box<dyn Model>,
}

impl ModelRow {
    const fn images(
        name: &'static str,
        about: &'static str,
        build: fn(&mut Builder, &ModelConfig) -> Box<dyn Model>,
    ) -> Self {
        ModelRow { name, about, tokens: false, stems: false, build }
    }

    /// The norms it can have, its default first.
    pub fn norms(&self) -> impl Iterator<Item = &'static NormRow> + '_ {
        NORMS.iter().filter(|n| !self.tokens || n.tokens.is_some())
    }

    /// The norm it has when none is named.
    pub fn default_norm(&self) -> &'static NormRow {
        self.norms().next().unwrap_or(norms::DEFAULT)
    }
}

const WIDTHS: &[usize] = &[64, 128, 256, 512];

/// All models.
pub const MODELS: &[ModelRow] = &[
    ModelRow::images("mlp", "three hidden layers of 64 with norms", |b, c| mlp(b, c, &[64, 64, 64])),
    ModelRow::images("resnet8", "CIFAR-style ResNet, widths 16-32-64, one block each", |b, c| {
        resnet(b, c, &[1, 1, 1], &[16, 32, 64])
    }),
    ModelRow::images("resnet20", "CIFAR-style ResNet, widths 16-32-64, three blocks each", |b, c| {
        resnet(b, c, &[3, 3, 3], &[16, 32, 64])
    }),
    ModelRow {
        stems: true,
        ..ModelRow::images("resnet18", "ResNet-18, widths 64 to 512, two basic blocks each", |b, c| {
            residual(b, c, Branch::Basic, &[2, 2, 2, 2], WIDTHS)
        })
    },
    ModelRow {
        stems: true,
        ..ModelRow::images("resnet34", "ResNet-34, basic blocks", |b, c| {
            residual(b, c, Branch::Basic, &[3, 4, 6, 3], WIDTHS)
        })
    },
    ModelRow {
        stems: true,
        ..ModelRow::images("resnet50", "ResNet-50, bottleneck blocks", |b, c| {
            residual(b, c, Branch::Bottleneck, &[3, 4, 6, 3], WIDTHS)
        })
    },
    ModelRow::images(
        "preact_resnet18",
        "pre-activation ResNet-18 with a 3×3 stem: norms in front of convolutions",
        |b, c| preact_resnet(b, c, &[2, 2, 2, 2], WIDTHS),
    ),
    ModelRow::images(
        "vgg11",
        "VGG-11, 8 convolutions of width 64 to 512, images of 32 pixels and more",
        |b, c| vgg(b, c, &[&[64], &[128], &[256; 2], &[512; 2], &[512; 2]]),
    ),
    ModelRow::images(
        "vgg16",
        "VGG-16, 13 convolutions of width 64 to 512, images of 32 pixels and more",
        |b, c| vgg(b, c, &[&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]]),
    ),
    ModelRow::images(
        "mobilenet",
        "MobileNet with a 3×3 stem at stride 1: depthwise convolutions",
        |b, c| {
            let blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)];
            let blocks: Vec<_> =
                blocks.into_iter().chain([(512, 1); 5]).chain([(1024, 2), (1024, 1)]).collect();
            mobilenet(b, c, 32, &blocks)
        },
    ),
    ModelRow {
        tokens: true,
        ..ModelRow::images(
            "vit_tiny",
            "vision transformer, patches of 4 pixels, 192 channels, 12 blocks, 3 heads",
            |b, c| vit(b, c, &VitSize { patch: 4, dim: 192, depth: 12, heads: 3 }),
        )
    },
    ModelRow {
        tokens: true,
        ..ModelRow::images("mlp_mixer", "MLP-Mixer, patches of 4 pixels, 128 channels, 8 blocks", |b, c| {
            mlp_mixer(b, c, &MixerSize { patch: 4, dim: 128, depth: 8 })
        })
    },
];

/// The model that is trained when none is named.
pub const DEFAULT: &str = "resnet8";

/// A model that cannot be built; says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(String);

/// The row of the model called `name`.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static ModelRow, ModelError> {
    let unknown = || ModelError(format!("unknown model '{name}'"));
    MODELS.iter().find(|row| row.name == name).ok_or_else(unknown)
}

/// Builds the model called `name`.
///
/// # Errors
/// When there is none of that name, or it does not have what `config` asks for.
pub fn build(name: &str, config: &ModelConfig) -> Result<Network, ModelError> {
    let row = find(name)?;
    if row.norms().all(|n| n.name != config.norm.name) {
        let (norm, can) = (config.norm.name, row.norms().map(|n| n.name).collect::<Vec<_>>().join(", "));
        return Err(ModelError(format!("{name} cannot have norm {norm}; choose from {can}")));
    }
    let with = |has: fn(&ModelRow) -> bool| {
        MODELS.iter().filter(|m| has(m)).map(|m| m.name).collect::<Vec<_>>().join(", ")
    };
    if config.stem.is_some() && !row.stems {
        return Err(ModelError(format!("{name} has no choice of stems; {} have", with(|m| m.stems))));
    }
    if config.dropout != 0.0 && !row.tokens {
        return Err(ModelError(format!("{name} has no place for dropout; {} have", with(|m| m.tokens))));
    }
    let mut b = Builder::default();
    let model = (row.build)(&mut b, config);
    Ok(b.finish(model))
}
