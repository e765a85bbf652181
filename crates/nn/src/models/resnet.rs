//! Residual networks (He et al. 2016) with projection shortcuts, torchvision's names.

use crate::layers::{Conv2d, Geometry, Linear};
use crate::models::{ModelConfig, Stem};
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};

/// A convolution and the norm behind it.
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: Box<dyn Model>,
}

impl ConvNorm {
    pub(super) fn new(
        b: &mut Builder,
        config: &ModelConfig,
        (conv, norm): (&str, &str),
        channels: (usize, usize),
        geometry: Geometry,
    ) -> Self {
        ConvNorm {
            conv: Conv2d::new(b, conv, channels, geometry, config.followed()),
            norm: (config.norm.build)(b, norm, channels.1),
        }
    }
}

impl<T: Real> Module<T> for ConvNorm {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let y = self.conv.forward(f, x)?;
        T::module(&*self.norm).forward(f, &y)
    }

    fn forward_relu(
        &self,
        f: &mut Forward<'_, T>,
        x: &Var<T>,
        shortcut: Option<&Var<T>>,
        relu: &str,
    ) -> Result<Var<T>, LayerError> {
        let y = self.conv.forward(f, x)?;
        T::module(&*self.norm).forward_relu(f, &y, shortcut, relu)
    }
}

/// The convolutions beside a shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 (with the stride) and 1×1 to four times the width.
    Bottleneck,
}

impl Branch {
    /// Output channels over width.
    fn expansion(self) -> usize {
        if self == Branch::Basic { 1 } else { 4 }
    }

    /// Kernel, stride and output channels of each convolution.
    fn convolutions(self, width: usize, stride: usize) -> Vec<(usize, usize, usize)> {
        match self {
            Branch::Basic => vec![(3, stride, width), (3, 1, width)],
            Branch::Bottleneck => vec![(1, 1, width), (3, stride, width), (1, 1, 4 * width)],
        }
    }
}

/// relu(branch x + shortcut x), with ReLU between the convolutions of the branch.
struct Block {
    layer: String,
    branch: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(
        b: &mut Builder,
        config: &ModelConfig,
        layer: String,
        branch: Branch,
        (input, width): (usize, usize),
        stride: usize,
    ) -> Self {
        let (mut from, out) = (input, width * branch.expansion());
        let mut convolutions = Vec::new();
        for (i, (k, stride, to)) in branch.convolutions(width, stride).into_iter().enumerate() {
            let names = (&*format!("{layer}.conv{}", i + 1), &*format!("{layer}.bn{}", i + 1));
            convolutions.push(ConvNorm::new(b, config, names, (from, to), Geometry::same(k, stride)));
            from = to;
        }
        let downsample = (stride != 1 || input != out).then(|| {
            let names = (&*format!("{layer}.downsample.0"), &*format!("{layer}.downsample.1"));
            ConvNorm::new(b, config, names, (input, out), Geometry::same(1, stride))
        });
        Block { layer, branch: convolutions, downsample }
    }
}

impl<T: Real> Module<T> for Block {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let (last, first) = self.branch.split_last().expect("a branch has convolutions");
        let mut y = x.clone();
        for convolution in first {
            y = convolution.forward_relu(f, &y, None, &self.layer)?;
        }
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(f, x)?,
            None => x.clone(),
        };
        last.forward_relu(f, &y, Some(&shortcut), &self.layer)
    }
}

struct ResNet {
    stem: ConvNorm,
    max_pool: bool,
    blocks: Vec<Block>,
    fc: Linear,
}

/// The CIFAR-style network of basic blocks: [`residual`] with a 3×3 stem whatever the images' size.
pub fn resnet(b: &mut Builder, config: &ModelConfig, blocks: &[usize], widths: &[usize]) -> Box<dyn Model> {
    residual(b, &ModelConfig { stem: Some(Stem::Cifar), ..*config }, Branch::Basic, blocks, widths)
}

/// A stem, one stage of `blocks[i]` blocks per width (the first of every later stage has stride 2), global average pooling and
/// the classifier. The stem is the configuration's, or [`Stem::of_size`]'s.
pub fn residual(
    b: &mut Builder,
    config: &ModelConfig,
    branch: Branch,
    blocks: &[usize],
    widths: &[usize],
) -> Box<dyn Model> {
    let mut channels = widths[0];
    let stem = config.stem.unwrap_or(Stem::of_size(config.image_size));
    let (k, stride) = if stem == Stem::Cifar { (3, 1) } else { (7, 2) };
    let geometry = Geometry::same(k, stride);
    let first = ConvNorm::new(b, config, ("conv1", "bn1"), (config.in_channels, channels), geometry);
    let mut all = Vec::new();
    for (stage, (&count, &width)) in blocks.iter().zip(widths).enumerate() {
        for i in 0..count {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let layer = format!("layer{}.{i}", stage + 1);
            all.push(Block::new(b, config, layer, branch, (channels, width), stride));
            channels = width * branch.expansion();
        }
    }
    let fc = Linear::head(b, "fc", (channels, config.classes), config.decouple);
    Box::new(ResNet { stem: first, max_pool: stem == Stem::Imagenet, blocks: all, fc })
}

impl<T: Real> Module<T> for ResNet {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = self.stem.forward_relu(f, x, None, "relu")?;
        if self.max_pool {
            x = f.apply(ops::max_pool(3, 2, 1), &[&x], &[], "maxpool")?;
        }
        for block in &self.blocks {
            x = block.forward(f, &x)?;
        }
        x = f.apply(ops::global_avg_pool(), &[&x], &[], "avgpool")?;
        self.fc.forward(f, &x)
    }
}
