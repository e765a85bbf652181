//! Every block each step; the blocks of one layer share a sweep.

use super::Schedule;

/// Every block each step, a sweep per layer.
#[derive(Debug, Clone, Copy)]
pub struct All;

impl Schedule for All {
    fn name(&self) -> &str {
        "all"
    }

    fn about(&self) -> &str {
        "every block each step, a sweep per layer"
    }

    fn visits(&self, _number: u64, layers: &[Vec<Option<usize>>]) -> Vec<Vec<usize>> {
        layers.iter().map(|l| l.iter().flatten().copied().collect()).collect()
    }
}
