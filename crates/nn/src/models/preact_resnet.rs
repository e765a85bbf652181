//! Pre-activation residual networks (He et al. 2016b): a norm and ReLU in front of every convolution, nothing behind the sums.

use crate::layers::{Conv2d, Followed, Geometry, Linear};
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};

/// h = relu(bn1 x);  y = conv2(relu(bn2(conv1 h))) + shortcut, x itself or a 1×1 convolution of h.
struct Block {
    layer: String,
    bn1: Box<dyn Model>,
    conv1: Conv2d,
    bn2: Box<dyn Model>,
    conv2: Conv2d,
    downsample: Option<Conv2d>,
}

struct PreactResNet {
    conv1: Conv2d,
    blocks: Vec<Block>,
    bn: Box<dyn Model>,
    fc: Linear,
}

/// A 3×3 stem without norm, one stage of `blocks[i]` blocks per width (the first of every later stage has stride 2), a norm
/// and ReLU, global average pooling and the classifier.
pub fn preact_resnet(
    b: &mut Builder,
    config: &ModelConfig,
    blocks: &[usize],
    widths: &[usize],
) -> Box<dyn Model> {
    let shortcut = match config.norm.normalizes {
        true => Followed::ByShortcut { decouple: config.decouple },
        false => config.followed(),
    };
    let mut input = widths[0];
    let conv1 = Conv2d::new(b, "conv1", (config.in_channels, input), Geometry::same(3, 1), shortcut);
    let mut all = Vec::new();
    for (stage, (&count, &out)) in blocks.iter().zip(widths).enumerate() {
        for i in 0..count {
            let layer = format!("layer{}.{i}", stage + 1);
            let name = |part: &str| format!("{layer}.{part}");
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let bn1 = (config.norm.build)(b, &name("bn1"), input);
            let first = Geometry::same(3, stride);
            let conv1 = Conv2d::new(b, &name("conv1"), (input, out), first, config.followed());
            let bn2 = (config.norm.build)(b, &name("bn2"), out);
            let conv2 = Conv2d::new(b, &name("conv2"), (out, out), Geometry::same(3, 1), shortcut);
            let downsample = (stride != 1 || input != out).then(|| {
                Conv2d::new(b, &name("downsample.0"), (input, out), Geometry::same(1, stride), shortcut)
            });
            all.push(Block { layer, bn1, conv1, bn2, conv2, downsample });
            input = out;
        }
    }
    let bn = (config.norm.build)(b, "bn", input);
    let fc = Linear::head(b, "fc", (input, config.classes), config.decouple);
    Box::new(PreactResNet { conv1, blocks: all, bn, fc })
}

impl<T: Real> Module<T> for Block {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let h = T::module(&*self.bn1).forward_relu(f, x, None, &self.layer)?;
        let y = self.conv1.forward(f, &h)?;
        let y = T::module(&*self.bn2).forward_relu(f, &y, None, &self.layer)?;
        let y = self.conv2.forward(f, &y)?;
        match &self.downsample {
            Some(conv) => {
                let x = conv.forward(f, &h)?;
                f.apply(ops::add(), &[&y, &x], &[], &self.layer)
            }
            None => f.apply(ops::add(), &[&y, x], &[], &self.layer),
        }
    }
}

impl<T: Real> Module<T> for PreactResNet {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = self.conv1.forward(f, x)?;
        for block in &self.blocks {
            x = block.forward(f, &x)?;
        }
        let x = T::module(&*self.bn).forward_relu(f, &x, None, "relu")?;
        let x = f.apply(ops::global_avg_pool(), &[&x], &[], "avgpool")?;
        self.fc.forward(f, &x)
    }
}
