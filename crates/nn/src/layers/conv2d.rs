//! 2-D convolution without bias, as used before a norm.

use crate::{Builder, Forward, Init, LayerError, Module, Role};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.weight` [out, in, k, k]; initialised as torchvision's ResNets are: normal, variance 2/(out·k²).
#[derive(Debug)]
pub struct Conv2d {
    layer: String,
    weight: usize,
    stride: usize,
    pad: usize,
}

impl Conv2d {
    /// A k×k convolution named `layer`.
    pub fn new(
        b: &mut Builder,
        layer: &str,
        (input, out): (usize, usize),
        k: usize,
        stride: usize,
        pad: usize,
    ) -> Self {
        let init = Init::Normal((2.0 / (out * k * k) as f64).sqrt());
        let weight = b.param(format!("{layer}.weight"), &[out, input, k, k], Role::Weight, init);
        Conv2d { layer: layer.to_string(), weight, stride, pad }
    }
}

impl<T: Element> Module<T> for Conv2d {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        f.apply(ops::conv2d(self.stride, self.pad), &[x], &[self.weight], &self.layer)
    }
}
