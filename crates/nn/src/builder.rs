//! Putting a network together: layers register what they own.

use crate::layer::Model;
use crate::network::Network;
use crate::param::{BufferKind, BufferSpec, Init};
use crate::statistics::{RunningStatistics, StatisticsSlot, Tracked};
use sph_autodiff::{ParamSpec, Role};
use std::sync::Arc;

/// Collects the parameters and buffers of a network under construction, in the order PyTorch would list them.
#[derive(Debug, Default)]
pub struct Builder {
    pub(crate) params: Vec<(ParamSpec, Init)>,
    pub(crate) buffers: Vec<BufferSpec>,
    pub(crate) statistics: Vec<Tracked>,
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
    pub fn buffer(&mut self, name: String, shape: &[usize], kind: BufferKind, init: Arc<[f64]>) -> usize {
        self.buffers.push(BufferSpec { name, shape: shape.to_vec(), kind, init, fixed: false });
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
        let all = |value: f64| vec![value; channels].into();
        let [mean, var, count] =
            ["running_mean", "running_var", "num_batches_tracked"].map(|b| format!("{layer}.{b}"));
        self.given_statistics(
            (mean, all(0.0)),
            (var, all(1.0)),
            Some((count, 0.0)),
            momentum,
            params.to_vec(),
        )
    }

    /// The same with the names and values given; the count of batches may be absent.
    pub(crate) fn given_statistics(
        &mut self,
        (mean, means): (String, Arc<[f64]>),
        (var, variances): (String, Arc<[f64]>),
        count: Option<(String, f64)>,
        momentum: f64,
        params: Vec<usize>,
    ) -> StatisticsSlot {
        let channels = [means.len()];
        let mean = self.buffer(mean, &channels, BufferKind::Real, means);
        let var = self.buffer(var, &channels, BufferKind::Real, variances);
        let count = count.map(|(name, n)| self.buffer(name, &[], BufferKind::Whole, vec![n].into()));
        self.statistics.push(Tracked::Averages(RunningStatistics { mean, var, count, momentum, params }));
        StatisticsSlot { slot: self.statistics.len() - 1, mean, var }
    }

    /// A slot for the new values of a buffer that a network changes in training by itself.
    pub(crate) fn changing(&mut self, buffer: usize) -> usize {
        self.statistics.push(Tracked::Written { buffer });
        self.statistics.len() - 1
    }

    /// The finished network.
    pub fn finish(self, model: Box<dyn Model>) -> Network {
        Network { model, params: self.params, buffers: self.buffers, statistics: self.statistics }
    }
}
