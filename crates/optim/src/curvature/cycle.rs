//! The cyclic schedule: one block per step, in turn (the ancestor's choice).

use crate::ema::power;

/// The slots of a cycle. A slot without a block is a step without a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(Vec<Option<usize>>);

impl Cycle {
    /// A cycle over `slots`, each a parameter number or nothing.
    pub fn new(slots: Vec<Option<usize>>) -> Self {
        Cycle(slots)
    }

    /// The block visited at `step`, counted from 0.
    pub fn block(&self, step: u64) -> Option<usize> {
        // An empty cycle has no blocks.
        self.0.get(step.checked_rem(self.0.len() as u64)? as usize).copied().flatten()
    }

    /// 1 − μⁿ with n = ⌊(t+1)/M⌋ + 1, the ancestor's factor at step t, M the number of slots.
    pub fn ancestor_correction(&self, step: u64, decay: f64) -> f64 {
        let n = (step + 1) / self.0.len().max(1) as u64 + 1;
        1.0 - power(decay, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_take_turns_and_an_idle_slot_visits_nothing() {
        let c = Cycle::new(vec![Some(3), Some(5), None]);
        assert_eq!((0..4).map(|t| c.block(t)).collect::<Vec<_>>(), [Some(3), Some(5), None, Some(3)]);
        assert_eq!(Cycle::new(vec![]).block(9), None);
    }

    #[test]
    fn the_ancestors_exponent_counts_cycles() {
        let c = Cycle::new(vec![None; 3]);
        let n = |t: u64| (-(1.0 - c.ancestor_correction(t, 0.5)).log2()).round();
        assert_eq!((0..7).map(n).collect::<Vec<_>>(), [1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
    }
}
