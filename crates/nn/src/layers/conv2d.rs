//! 2-D convolution.

use super::weights::{Followed, Weights};
use crate::{Builder, Forward, Init, LayerError, Module};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.weight` (out×in/groups×k×k); initialised as torchvision's ResNets are: normal, variance 2/(out/groups·k²), bias 0.
#[derive(Debug)]
pub struct Conv2d {
    layer: String,
    weights: Weights,
    bias: Option<usize>,
    geometry: Geometry,
}

/// Kernel size, stride and zero padding, the same for both axes, and groups of channels.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Height and width of the kernel.
    pub k: usize,
    /// Step between output pixels.
    pub stride: usize,
    /// Zeros on every side.
    pub pad: usize,
    /// Groups of channels, each convolved on its own.
    pub groups: usize,
}

impl Geometry {
    /// One group, padded so that stride 1 keeps the size of the image for odd `k`.
    pub fn same(k: usize, stride: usize) -> Self {
        Geometry { k, stride, pad: k / 2, groups: 1 }
    }
}

impl Conv2d {
    /// A convolution named `layer`.
    pub fn new(
        b: &mut Builder,
        layer: &str,
        (input, out): (usize, usize),
        geometry: Geometry,
        followed: Followed,
    ) -> Self {
        let (k, groups) = (geometry.k, geometry.groups);
        let init = Init::Normal((2.0 / (out / groups * k * k) as f64).sqrt());
        Self::with_init(b, layer, (input, out), geometry, followed, [init, Init::Constant(0.0)])
    }

    /// A convolution whose weights and bias start as `init` says.
    pub(super) fn with_init(
        b: &mut Builder,
        layer: &str,
        (input, out): (usize, usize),
        geometry: Geometry,
        followed: Followed,
        [init, bias]: [Init; 2],
    ) -> Self {
        let (k, groups) = (geometry.k, geometry.groups);
        let weights = Weights::new(b, layer, &[out, input / groups, k, k], init, followed);
        let bias = weights.bias(b, layer, out, bias, followed);
        Conv2d { layer: layer.to_string(), weights, bias, geometry }
    }
}

impl<T: Element> Module<T> for Conv2d {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let w = self.weights.forward(f, &self.layer)?;
        let Geometry { stride, pad, groups, .. } = self.geometry;
        f.apply(ops::grouped_conv2d(stride, pad, groups), &[x, &w], self.bias.as_slice(), &self.layer)
    }
}
