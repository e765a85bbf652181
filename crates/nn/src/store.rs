//! The values of a network's parameters and buffers.

use crate::param::BufferSpec;
use crate::statistics::RunningStatistics;
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
    statistics: Vec<RunningStatistics>,
}

impl<T: Element> Store<T> {
    /// A store of `values`; buffers have their initial values.
    pub(crate) fn new(
        specs: Vec<ParamSpec>,
        values: Vec<Array<T>>,
        buffer_specs: &[BufferSpec],
        statistics: &[RunningStatistics],
    ) -> Self {
        Store {
            specs,
            values,
            buffers: buffer_specs.iter().map(|b| vec![b.init; b.len]).collect(),
            buffer_specs: buffer_specs.to_vec(),
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
            let r = self.statistics[s.slot];
            let m = momentum.unwrap_or(r.momentum);
            for (buffer, new) in [(r.mean, &s.mean), (r.var, &s.var)] {
                for (old, new) in self.buffers[buffer].iter_mut().zip(new) {
                    *old = T::from_f64((1.0 - m) * *old + m * new).to_f64();
                }
            }
            self.buffers[r.count][0] += 1.0;
        }
    }
}

/// ‖row‖ of an array, rows along its first axis.
pub fn row_norm<T: Element>(a: &Array<T>, row: usize) -> f64 {
    let row = a.part(row);
    dot_f64(row, row).sqrt()
}
