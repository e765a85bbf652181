//! One block per step, in turn: the ancestor's choice.

use super::Schedule;

/// One block per step.
#[derive(Debug, Clone, Copy)]
pub struct Cyclic;

impl Schedule for Cyclic {
    fn name(&self) -> &str {
        "cyclic"
    }

    fn about(&self) -> &str {
        "one block per step, in turn"
    }

    fn visits(&self, number: u64, layers: &[Vec<Option<usize>>]) -> Vec<Vec<usize>> {
        let slots = layers.iter().flatten();
        let turn = (number % slots.clone().count().max(1) as u64) as usize;
        vec![slots.copied().nth(turn).flatten().into_iter().collect()]
    }
}
