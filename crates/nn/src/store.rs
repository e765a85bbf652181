//! The values of a network's parameters and buffers.

use crate::param::BufferSpec;
use crate::statistics::{NormStatistics, RunningStatistics, Tracked};
use sph_autodiff::{ParamSpec, Statistics};
use sph_tensor::kernels::dot::dot_f64;
use sph_tensor::{Array, Element};

/// Parameter and buffer values of one network.
///
/// Buffers are held as f64 but rounded to `T` at every change, so that a file in `T` holds them exactly.
#[derive(Debug, Clone)]
pub struct Store<T: Element> {
    specs: Vec<ParamSpec>,
    /// Parameter values, in the order of [`Store::specs`].
    pub values: Vec<Array<T>>,
    buffer_specs: Vec<BufferSpec>,
    /// Buffer values, in the order of [`Store::buffer_specs`].
    pub buffers: Vec<Vec<f64>>,
    /// What norms with running statistics normalize by in training.
    pub norm_statistics: NormStatistics,
    statistics: Vec<Tracked>,
}

impl<T: Element> Store<T> {
    /// A store of `values`; buffers have their initial values.
    pub(crate) fn new(
        specs: Vec<ParamSpec>,
        values: Vec<Array<T>>,
        buffer_specs: &[BufferSpec],
        statistics: &[Tracked],
    ) -> Self {
        Store {
            specs,
            values,
            buffers: buffer_specs
                .iter()
                .map(|b| b.init.iter().map(|v| T::from_f64(*v).to_f64()).collect())
                .collect(),
            buffer_specs: buffer_specs.to_vec(),
            norm_statistics: NormStatistics::default(),
            statistics: statistics.to_vec(),
        }
    }

    /// The parameters.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Marks the parameters that `frozen` names as not trained, and the others as trained.
    pub fn freeze(&mut self, frozen: impl Fn(&ParamSpec) -> bool) {
        self.specs.iter_mut().for_each(|s| s.frozen = frozen(s));
    }

    /// The buffers.
    pub fn buffer_specs(&self) -> &[BufferSpec] {
        &self.buffer_specs
    }

    /// The running averages, those of a norm each, with the numbers of their slots.
    fn averages(&self) -> impl Iterator<Item = (usize, &RunningStatistics)> {
        self.statistics.iter().enumerate().filter_map(|(slot, tracked)| match tracked {
            Tracked::Averages(averages) => Some((slot, averages)),
            Tracked::Written { .. } => None,
        })
    }

    /// Whether running statistics number `slot` follow the batches of training, by which their norm normalizes then.
    pub(crate) fn follows(&self, slot: usize) -> bool {
        match (&self.statistics[slot], self.norm_statistics) {
            (Tracked::Written { .. }, _) | (_, NormStatistics::Batch) => true,
            (Tracked::Averages(norm), NormStatistics::Auto) => {
                norm.params.is_empty() || norm.params.iter().any(|&p| !self.specs[p].frozen)
            }
            (_, NormStatistics::Running) => false,
        }
    }

    /// The layers with running statistics that follow the batches of training, or those whose stay as they are.
    pub fn norms(&self, follow: bool) -> impl Iterator<Item = &str> {
        let chosen = self.averages().filter(move |(slot, _)| self.follows(*slot) == follow);
        chosen.map(|(_, norm)| {
            let name = &self.buffer_specs[norm.mean].name;
            name.rsplit_once('.').map_or(&**name, |(layer, _)| layer)
        })
    }

    /// Whether all running statistics that stay as they are are those of a network that has seen nothing: means 0, variances 1.
    pub fn kept_statistics_are_initial(&self) -> bool {
        let kept = self.averages().filter(|(slot, _)| !self.follows(*slot));
        let mut expected = kept.flat_map(|(_, norm)| [(norm.mean, 0.0), (norm.var, 1.0)]);
        expected.all(|(buffer, initial)| self.buffers[buffer].iter().all(|v| *v == initial))
    }

    /// Takes over the running statistics of `other`, of the same network, that stay as they are in training.
    pub fn take_kept_statistics(&mut self, other: &Store<T>) {
        let kept = self.averages().filter(|(slot, _)| !self.follows(*slot));
        let buffers = kept.flat_map(|(_, norm)| [norm.mean, norm.var].into_iter().chain(norm.count));
        for buffer in buffers.collect::<Vec<_>>() {
            self.buffers[buffer].clone_from(&other.buffers[buffer]);
        }
    }

    /// Moves running averages toward a batch's statistics: r ← (1−m) r + m·batch, with the unbiased variance, as
    /// PyTorch does.
    pub fn track(&mut self, batch: &[Statistics]) {
        self.move_statistics(batch, None);
    }

    /// Takes the `number`-th batch (counted from 1) into plain means over batches: the first one replaces what was there. PyTorch's
    /// `momentum=None`.
    pub fn average(&mut self, batch: &[Statistics], number: u64) {
        self.move_statistics(batch, Some(1.0 / number as f64));
    }

    fn move_statistics(&mut self, batch: &[Statistics], momentum: Option<f64>) {
        for s in batch {
            let r = match &self.statistics[s.slot] {
                Tracked::Averages(norm) => norm,
                // The network has computed it.
                Tracked::Written { buffer } => {
                    self.buffers[*buffer].clone_from(&s.mean);
                    continue;
                }
            };
            let m = momentum.unwrap_or(r.momentum);
            for (buffer, new) in [(r.mean, &s.mean), (r.var, &s.var)] {
                for (old, new) in self.buffers[buffer].iter_mut().zip(new) {
                    *old = T::from_f64((1.0 - m) * *old + m * new).to_f64();
                }
            }
            if let Some(count) = r.count {
                self.buffers[count][0] += 1.0;
            }
        }
    }
}

/// ‖row‖ of an array, rows along its first axis.
pub fn row_norm<T: Element>(a: &Array<T>, row: usize) -> f64 {
    let row = a.part(row);
    dot_f64(row, row).sqrt()
}
