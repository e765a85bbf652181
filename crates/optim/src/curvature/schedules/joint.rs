//! Every block each step from one sweep: the probe covers all blocks at once. Cross-block terms are noise of mean zero.

use super::Schedule;

/// Every block each step from one sweep over all.
#[derive(Debug, Clone, Copy)]
pub struct Joint;

impl Schedule for Joint {
    fn name(&self) -> &str {
        "joint"
    }

    fn about(&self) -> &str {
        "every block each step from one sweep over all (ones, rademacher)"
    }

    fn visits(&self, _number: u64, layers: &[Vec<Option<usize>>]) -> Vec<Vec<usize>> {
        vec![layers.iter().flatten().flatten().copied().collect()]
    }

    fn joint(&self) -> bool {
        true
    }
}
