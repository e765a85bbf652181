//! MobileNet (Howard et al. 2017) for small images: a 3×3 stem at stride 1, then blocks of a depthwise 3×3 convolution and a 1×1
//! convolution, a norm and ReLU behind each.

use crate::layers::{Geometry, Linear};
use crate::models::ModelConfig;
use crate::models::resnet::ConvNorm;
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};

struct MobileNet {
    /// Each with its name, for messages.
    steps: Vec<(ConvNorm, String)>,
    fc: Linear,
}

/// A stem of `stem` channels and a block per (channels, stride) of `blocks`: `layers.i.conv1` (depthwise, with the stride),
/// `bn1`, `conv2` (1×1), `bn2`; global average pooling and the classifier.
pub fn mobilenet(
    b: &mut Builder,
    config: &ModelConfig,
    stem: usize,
    blocks: &[(usize, usize)],
) -> Box<dyn Model> {
    let step = |b: &mut Builder, names: (&str, &str), channels, geometry| {
        (ConvNorm::new(b, config, names, channels, geometry), format!("{}.relu", names.0))
    };
    let mut steps = vec![step(b, ("conv1", "bn1"), (config.in_channels, stem), Geometry::same(3, 1))];
    let mut input = stem;
    for (i, &(out, stride)) in blocks.iter().enumerate() {
        let name = |part: &str| format!("layers.{i}.{part}");
        let depthwise = Geometry { groups: input, ..Geometry::same(3, stride) };
        steps.push(step(b, (&name("conv1"), &name("bn1")), (input, input), depthwise));
        steps.push(step(b, (&name("conv2"), &name("bn2")), (input, out), Geometry::same(1, 1)));
        input = out;
    }
    let fc = Linear::head(b, "fc", (input, config.classes), config.decouple);
    Box::new(MobileNet { steps, fc })
}

impl<T: Real> Module<T> for MobileNet {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = x.clone();
        for (step, relu) in &self.steps {
            x = step.forward_relu(f, &x, None, relu)?;
        }
        let x = f.apply(ops::global_avg_pool(), &[&x], &[], "avgpool")?;
        self.fc.forward(f, &x)
    }
}
