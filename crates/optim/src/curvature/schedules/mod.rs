//! Which blocks are visited at which step, one file each, and their table (docs/algorithm.md §4). A new one is a file here and a row of
//! [`schedules`].

mod all;
mod cyclic;
mod joint;

pub use all::All;
pub use cyclic::Cyclic;
pub use joint::Joint;

use std::fmt::Debug;
use std::sync::Arc;

/// Which blocks are visited when.
pub trait Schedule: Debug + Send + Sync {
    /// The name users give.
    fn name(&self) -> &str;

    /// What it does, in one line.
    fn about(&self) -> &str;

    /// The blocks visited at the visit of this number (counted from 0), in groups that share sweeps. `layers` holds the blocks in order,
    /// those of one layer together; a slot without a block is a turn without a visit.
    fn visits(&self, number: u64, layers: &[Vec<Option<usize>>]) -> Vec<Vec<usize>>;

    /// Whether every block is part of one probe. Cross-block terms are noise of mean zero then.
    fn joint(&self) -> bool {
        false
    }
}

/// All schedules.
pub fn schedules() -> Vec<Arc<dyn Schedule>> {
    vec![Arc::new(Cyclic), Arc::new(All), Arc::new(Joint)]
}

/// The schedule of that name.
pub fn find(name: &str) -> Option<Arc<dyn Schedule>> {
    schedules().into_iter().find(|s| s.name() == name)
}
