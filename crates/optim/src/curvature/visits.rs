//! The visits to an optimizer's blocks over its steps: a schedule, over these blocks, at each n-th step (docs/algorithm.md §4).

use super::schedules::Schedule;
use crate::ema::power;
use sph_autodiff::ParamSpec;
use std::sync::Arc;

/// Visits of blocks over steps.
#[derive(Debug, Clone)]
pub struct Visits {
    schedule: Arc<dyn Schedule>,
    every: u64,
    /// The blocks in order, those of one layer together; a slot without a block is a cyclic step without a visit.
    layers: Vec<Vec<Option<usize>>>,
}

impl Visits {
    /// Visits by `schedule` over `slots` (parameter numbers, or idle), at each `every`-th step only.
    pub fn new(
        schedule: Arc<dyn Schedule>,
        every: u64,
        slots: &[Option<usize>],
        specs: &[ParamSpec],
    ) -> Self {
        let layer = |slot: &Option<usize>| {
            slot.map(|i| specs[i].name.rsplit_once('.').map_or("", |(layer, _)| layer))
        };
        let layers = slots.chunk_by(|a, b| a.is_some() && layer(a) == layer(b)).map(<[_]>::to_vec).collect();
        Visits { schedule, every: every.max(1), layers }
    }

    /// Every block is part of one probe.
    pub fn joint(&self) -> bool {
        self.schedule.joint()
    }

    fn slots(&self) -> usize {
        self.layers.iter().map(Vec::len).sum()
    }

    /// The blocks visited at `step` (counted from 0), in groups that share sweeps.
    pub fn at(&self, step: u64) -> Vec<Vec<usize>> {
        if !step.is_multiple_of(self.every) || self.slots() == 0 {
            return Vec::new();
        }
        let groups = self.schedule.visits(step / self.every, &self.layers);
        groups.into_iter().filter(|g| !g.is_empty()).collect()
    }

    /// 1 − μⁿ with n = ⌊(t+1)/M⌋ + 1, the ancestor's factor at step t, M the number of slots.
    pub fn ancestor_correction(&self, step: u64, decay: f64) -> f64 {
        let n = (step + 1) / self.slots().max(1) as u64 + 1;
        1.0 - power(decay, n)
    }
}

#[cfg(test)]
mod tests {
    use super::super::schedules::{All, Cyclic, Joint};
    use super::*;
    use sph_autodiff::Role;

    fn visits(schedule: impl Schedule + 'static, every: u64) -> Visits {
        let spec = |name: &str| ParamSpec::new(name, &[2], Role::NormScale);
        let specs = ["a.weight", "a.bias", "b.weight", "b.bias", "fc.bias"].map(spec);
        Visits::new(Arc::new(schedule), every, &[Some(0), Some(1), Some(2), Some(3), None], &specs)
    }

    #[test]
    fn blocks_take_turns_and_an_idle_slot_visits_nothing() {
        let v = visits(Cyclic, 1);
        assert_eq!(v.at(0), [[0]]);
        assert_eq!(v.at(3), [[3]]);
        assert!(v.at(4).is_empty());
        assert_eq!(v.at(6), [[1]]);
    }

    #[test]
    fn layers_share_a_sweep_and_joint_takes_all() {
        assert_eq!(visits(All, 1).at(7), [[0, 1], [2, 3]]);
        assert_eq!(visits(Joint, 1).at(7), [[0, 1, 2, 3]]);
    }

    #[test]
    fn between_visits_nothing_is_visited() {
        let v = visits(Cyclic, 3);
        assert_eq!((v.at(0), v.at(3)), (vec![vec![0]], vec![vec![1]]));
        assert!(v.at(1).is_empty() && v.at(5).is_empty());
    }

    #[test]
    fn the_ancestors_exponent_counts_cycles() {
        let v = visits(Cyclic, 1);
        let n = |t: u64| (-(1.0 - v.ancestor_correction(t, 0.5)).log2()).round();
        assert_eq!((0..10).map(n).collect::<Vec<_>>(), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0]);
    }
}
