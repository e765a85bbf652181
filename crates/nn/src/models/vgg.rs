//! VGG (Simonyan and Zisserman 2015) for images of 32×32 and more, torchvision's names `features.N`; one linear layer behind
//! global average pooling, as is usual on CIFAR.

use crate::layers::{Conv2d, Geometry, Linear};
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};

/// A layer of `features`.
enum Feature {
    Conv { conv: Conv2d, norm: Box<dyn Model>, relu: String },
    MaxPool(String),
}

struct Vgg {
    features: Vec<Feature>,
    classifier: Linear,
}

/// A stage of 3×3 convolutions per entry of `stages` (their widths), each ended by 2×2 max pooling.
pub fn vgg(b: &mut Builder, config: &ModelConfig, stages: &[&[usize]]) -> Box<dyn Model> {
    let (mut input, mut number, mut features) = (config.in_channels, 0, Vec::new());
    let mut name = |step: usize| {
        let name = format!("features.{number}");
        number += step;
        name
    };
    for stage in stages {
        for &width in *stage {
            let geometry = Geometry::same(3, 1);
            let conv = Conv2d::new(b, &name(1), (input, width), geometry, config.followed());
            // Without a norm the rectifier has the next number, as in torchvision.
            let norm = (config.norm.build)(b, &name(usize::from(config.norm.normalizes)), width);
            features.push(Feature::Conv { conv, norm, relu: name(1) });
            input = width;
        }
        features.push(Feature::MaxPool(name(1)));
    }
    let classifier = Linear::head(b, "classifier", (input, config.classes), config.decouple);
    Box::new(Vgg { features, classifier })
}

impl<T: Real> Module<T> for Vgg {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = x.clone();
        for feature in &self.features {
            x = match feature {
                Feature::Conv { conv, norm, relu } => {
                    let y = conv.forward(f, &x)?;
                    T::module(&**norm).forward_relu(f, &y, None, relu)?
                }
                Feature::MaxPool(name) => f.apply(ops::max_pool(2, 2, 0), &[&x], &[], name)?,
            };
        }
        let x = f.apply(ops::global_avg_pool(), &[&x], &[], "avgpool")?;
        self.classifier.forward(f, &x)
    }
}
