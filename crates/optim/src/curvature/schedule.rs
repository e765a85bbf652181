//! Which blocks are visited at which step, and which share a sweep (docs/algorithm.md §4).

use crate::ema::power;
use sph_autodiff::ParamSpec;

/// The kind of a [`Schedule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// One block per step, in turn: the ancestor's choice.
    Cyclic,
    /// Every block each step; the blocks of one layer share a sweep.
    All,
    /// Every block each step from one sweep: the probe covers all blocks at once. Cross-block terms are noise of mean zero.
    Joint,
}

/// The kinds by the names users give, and what they do.
pub const SCHEDULE_KINDS: &[(&str, ScheduleKind, &str)] = &[
    ("cyclic", ScheduleKind::Cyclic, "one block per step, in turn"),
    ("all", ScheduleKind::All, "every block each step, a sweep per layer"),
    ("joint", ScheduleKind::Joint, "every block each step from one sweep over all (ones, rademacher)"),
];

/// Visits of blocks over steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    kind: ScheduleKind,
    every: u64,
    /// The blocks in order, those of one layer together; a slot without a block is a cyclic step without a visit.
    layers: Vec<Vec<Option<usize>>>,
}

impl Schedule {
    /// A schedule over `slots` (parameter numbers, or idle), with visits at each `every`-th step only.
    pub fn new(kind: ScheduleKind, every: u64, slots: &[Option<usize>], specs: &[ParamSpec]) -> Self {
        let layer = |slot: &Option<usize>| {
            slot.map(|i| specs[i].name.rsplit_once('.').map_or("", |(layer, _)| layer))
        };
        let layers = slots.chunk_by(|a, b| a.is_some() && layer(a) == layer(b)).map(<[_]>::to_vec).collect();
        Schedule { kind, every: every.max(1), layers }
    }

    /// Every block is part of one probe.
    pub fn is_joint(&self) -> bool {
        self.kind == ScheduleKind::Joint
    }

    fn slots(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.layers.iter().flatten().copied()
    }

    /// The blocks visited at `step` (counted from 0), in groups that share sweeps.
    pub fn visits(&self, step: u64) -> Vec<Vec<usize>> {
        let count = self.slots().count();
        if !step.is_multiple_of(self.every) || count == 0 {
            return Vec::new();
        }
        let groups: Vec<Vec<usize>> = match self.kind {
            ScheduleKind::Cyclic => {
                let turn = (step / self.every % count as u64) as usize;
                vec![self.slots().nth(turn).flatten().into_iter().collect()]
            }
            ScheduleKind::All => self.layers.iter().map(|l| l.iter().flatten().copied().collect()).collect(),
            ScheduleKind::Joint => vec![self.slots().flatten().collect()],
        };
        groups.into_iter().filter(|g| !g.is_empty()).collect()
    }

    /// 1 − μⁿ with n = ⌊(t+1)/M⌋ + 1, the ancestor's factor at step t, M the number of slots.
    pub fn ancestor_correction(&self, step: u64, decay: f64) -> f64 {
        let n = (step + 1) / self.slots().count().max(1) as u64 + 1;
        1.0 - power(decay, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sph_autodiff::Role;

    fn schedule(kind: ScheduleKind, every: u64) -> Schedule {
        let spec = |name: &str| ParamSpec::new(name, &[2], Role::NormScale);
        let specs = ["a.weight", "a.bias", "b.weight", "b.bias", "fc.bias"].map(spec);
        Schedule::new(kind, every, &[Some(0), Some(1), Some(2), Some(3), None], &specs)
    }

    #[test]
    fn blocks_take_turns_and_an_idle_slot_visits_nothing() {
        let s = schedule(ScheduleKind::Cyclic, 1);
        assert_eq!(s.visits(0), [[0]]);
        assert_eq!(s.visits(3), [[3]]);
        assert!(s.visits(4).is_empty());
        assert_eq!(s.visits(6), [[1]]);
    }

    #[test]
    fn layers_share_a_sweep_and_joint_takes_all() {
        assert_eq!(schedule(ScheduleKind::All, 1).visits(7), [[0, 1], [2, 3]]);
        assert_eq!(schedule(ScheduleKind::Joint, 1).visits(7), [[0, 1, 2, 3]]);
    }

    #[test]
    fn between_visits_nothing_is_visited() {
        let s = schedule(ScheduleKind::Cyclic, 3);
        assert_eq!((s.visits(0), s.visits(3)), (vec![vec![0]], vec![vec![1]]));
        assert!(s.visits(1).is_empty() && s.visits(5).is_empty());
    }

    #[test]
    fn the_ancestors_exponent_counts_cycles() {
        let s = schedule(ScheduleKind::Cyclic, 1);
        let n = |t: u64| (-(1.0 - s.ancestor_correction(t, 0.5)).log2()).round();
        assert_eq!((0..10).map(n).collect::<Vec<_>>(), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0]);
    }
}
