//! BatchNorm with running statistics, PyTorch's defaults: ε = 1e-5, momentum 0.1.

use crate::statistics::StatisticsSlot;
use crate::{Builder, Forward, Init, LayerError, Model, Module, Role};
use sph_autodiff::{Var, ops};
use sph_tensor::Element;

/// `X.weight` (γ = 1), `X.bias` (β = 0) and the running statistics.
#[derive(Debug)]
pub struct BatchNorm {
    layer: String,
    gamma: usize,
    beta: usize,
    running: StatisticsSlot,
}

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

impl BatchNorm {
    /// A layer named `layer` over the last axis.
    pub fn new(b: &mut Builder, layer: &str, channels: usize) -> Self {
        let gamma = b.param(format!("{layer}.weight"), &[channels], Role::NormScale, Init::Constant(1.0));
        let beta = b.param(format!("{layer}.bias"), &[channels], Role::NormShift, Init::Constant(0.0));
        let running = b.running_statistics(layer, channels, MOMENTUM, [gamma, beta]);
        BatchNorm { layer: layer.to_string(), gamma, beta, running }
    }
}

pub(super) fn build(b: &mut Builder, layer: &str, channels: usize) -> Box<dyn Model> {
    Box::new(BatchNorm::new(b, layer, channels))
}

impl BatchNorm {
    fn op<T: Element>(&self, f: &Forward<'_, T>) -> ops::BatchNorm {
        let moments = match f.takes_statistics(self.running) {
            true => ops::Moments::Batch { slot: Some(self.running.slot) },
            false => ops::Moments::Running {
                mean: f.buffer(self.running.mean).to_vec(),
                var: f.buffer(self.running.var).to_vec(),
            },
        };
        ops::batch_norm(moments, EPS)
    }
}

impl<T: Element> Module<T> for BatchNorm {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        f.apply(self.op(f), &[x], &[self.gamma, self.beta], &self.layer)
    }

    fn forward_relu(
        &self,
        f: &mut Forward<'_, T>,
        x: &Var<T>,
        shortcut: Option<&Var<T>>,
        _relu: &str,
    ) -> Result<Var<T>, LayerError> {
        let [gamma, beta] = [self.gamma, self.beta].map(|p| f.param(p).clone());
        let inputs: Vec<&Var<T>> = [x, &gamma, &beta].into_iter().chain(shortcut).collect();
        f.apply(self.op(f).relu(), &inputs, &[], &self.layer)
    }
}
