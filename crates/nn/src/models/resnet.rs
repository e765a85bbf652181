//! CIFAR-style residual networks (He et al. 2016, §4.2) with projection shortcuts, torchvision's names.

use crate::layers::{Conv2d, Geometry, Linear};
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};

/// A convolution and the norm behind it.
struct ConvNorm {
    conv: Conv2d,
    norm: Box<dyn Model>,
}

impl ConvNorm {
    fn new(
        b: &mut Builder,
        config: &ModelConfig,
        (conv, norm): (&str, &str),
        channels: (usize, usize),
        k: usize,
        stride: usize,
    ) -> Self {
        ConvNorm {
            conv: Conv2d::new(b, conv, channels, Geometry { k, stride, pad: k / 2 }, config.followed()),
            norm: (config.norm.build)(b, norm, channels.1),
        }
    }
}

impl<T: Real> Module<T> for ConvNorm {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = self.conv.forward(f, x)?;
        T::module(&*self.norm).forward(f, &y)
    }
}

/// relu(norm2(conv2(relu(norm1(conv1 x)))) + shortcut x)
struct BasicBlock {
    layer: String,
    first: ConvNorm,
    second: ConvNorm,
    downsample: Option<ConvNorm>,
}

impl BasicBlock {
    fn new(
        b: &mut Builder,
        config: &ModelConfig,
        layer: String,
        (input, out): (usize, usize),
        stride: usize,
    ) -> Self {
        let name = |part: &str| format!("{layer}.{part}");
        let first = ConvNorm::new(b, config, (&name("conv1"), &name("bn1")), (input, out), 3, stride);
        let second = ConvNorm::new(b, config, (&name("conv2"), &name("bn2")), (out, out), 3, 1);
        let downsample = (stride != 1 || input != out).then(|| {
            ConvNorm::new(b, config, (&name("downsample.0"), &name("downsample.1")), (input, out), 1, stride)
        });
        BasicBlock { first, second, downsample, layer }
    }
}

impl<T: Real> Module<T> for BasicBlock {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = self.first.forward(f, x)?;
        let y = f.apply(ops::relu(), &[&y], &[], &self.layer)?;
        let y = self.second.forward(f, &y)?;
        let y = match &self.downsample {
            Some(shortcut) => {
                let x = shortcut.forward(f, x)?;
                f.apply(ops::add(), &[&y, &x], &[], &self.layer)?
            }
            None => f.apply(ops::add(), &[&y, x], &[], &self.layer)?,
        };
        f.apply(ops::relu(), &[&y], &[], &self.layer)
    }
}

/// See [`resnet`].
pub struct ResNet {
    stem: ConvNorm,
    blocks: Vec<BasicBlock>,
    fc: Linear,
}

/// A 3×3 stem, one stage of `blocks[i]` blocks per width (the first of every later stage has stride 2), global average
/// pooling and the classifier.
pub fn resnet(b: &mut Builder, config: &ModelConfig, blocks: &[usize], widths: &[usize]) -> Box<dyn Model> {
    let mut channels = widths[0];
    let stem = ConvNorm::new(b, config, ("conv1", "bn1"), (config.in_channels, channels), 3, 1);
    let mut all = Vec::new();
    for (stage, (&count, &width)) in blocks.iter().zip(widths).enumerate() {
        for i in 0..count {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            all.push(BasicBlock::new(
                b,
                config,
                format!("layer{}.{i}", stage + 1),
                (channels, width),
                stride,
            ));
            channels = width;
        }
    }
    let fc = Linear::head(b, "fc", (channels, config.classes), config.decouple);
    Box::new(ResNet { stem, blocks: all, fc })
}

impl<T: Real> Module<T> for ResNet {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = self.stem.forward(f, x)?;
        x = f.apply(ops::relu(), &[&x], &[], "relu")?;
        for block in &self.blocks {
            x = block.forward(f, &x)?;
        }
        x = f.apply(ops::global_avg_pool(), &[&x], &[], "avgpool")?;
        self.fc.forward(f, &x)
    }
}
