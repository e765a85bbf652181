//! Putting a network together: layers register what they own.

use crate::layer::Model;
use crate::network::Network;
use crate::param::{BufferKind, BufferSpec, Init};
use crate::statistics::{RunningStatistics, StatisticsSlot};
use sph_autodiff::{ParamSpec, Role};

/// Collects the parameters and buffers of a network under construction, in the order PyTorch would list them.
#[derive(Debug, Default)]
pub struct Builder {
    pub(crate) params: Vec<(ParamSpec, Init)>,
    pub(crate) buffers: Vec<BufferSpec>,
    pub(crate) statistics: Vec<RunningStatistics>,
    dropouts: u64,
}

impl Builder {
    /// Registers a parameter and returns its number.
    pub fn param(&mut self, name: String, shape: &[usize], role: Role, init: Init) -> usize {
        self.params.push((ParamSpec::new(name, shape, role), init));
        self.params.len() - 1
    }

    /// Marks a parameter as the classifier's.
    pub fn mark_head(&mut self, param: usize) {
        self.params[param].0.head = true;
    }

    /// Marks a bias as that of a decoupled layer.
    pub fn mark_decoupled(&mut self, param: usize) {
        self.params[param].0.decoupled = true;
    }

    /// Marks a bias whose curvature is zero on some of its entries.
    pub fn mark_flat(&mut self, param: usize) {
        self.params[param].0.flat = true;
    }

    /// Says that the layer of these weights adds this bias.
    pub fn join(&mut self, weight: usize, bias: usize) {
        self.params[weight].0.bias = Some(bias);
    }

    /// The number of a new source of random masks.
    pub fn dropout(&mut self) -> u64 {
        self.dropouts += 1;
        self.dropouts - 1
    }

    /// Registers a buffer and returns its number.
    pub fn buffer(&mut self, name: String, len: usize, kind: BufferKind, init: f64) -> usize {
        self.buffers.push(BufferSpec { name, len, kind, init: vec![init; len].into() });
        self.buffers.len() - 1
    }

    /// Registers running statistics over `channels` (`X.running_mean`, `X.running_var`, `X.num_batches_tracked`) of the norm with the
    /// parameters `params`, and returns their slot and the numbers of the first two buffers.
    pub fn running_statistics(
        &mut self,
        layer: &str,
        channels: usize,
        momentum: f64,
        params: [usize; 2],
    ) -> StatisticsSlot {
        let mean = self.buffer(format!("{layer}.running_mean"), channels, BufferKind::Statistic, 0.0);
        let var = self.buffer(format!("{layer}.running_var"), channels, BufferKind::Statistic, 1.0);
        let count = self.buffer(format!("{layer}.num_batches_tracked"), 1, BufferKind::Count, 0.0);
        self.statistics.push(RunningStatistics { mean, var, count, momentum, params });
        StatisticsSlot { slot: self.statistics.len() - 1, mean, var }
    }

    /// The finished network.
    pub fn finish(self, model: Box<dyn Model>) -> Network {
        Network { model, params: self.params, buffers: self.buffers, statistics: self.statistics }
    }
}
