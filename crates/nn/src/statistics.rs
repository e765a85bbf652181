//! The buffers of running statistics.

/// The numbers of the buffers that hold one norm's running statistics, and the weight of a new batch in them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunningStatistics {
    pub(crate) mean: usize,
    pub(crate) var: usize,
    pub(crate) count: usize,
    pub(crate) momentum: f64,
}

/// A norm's running statistics, as its layer refers to them.
#[derive(Debug, Clone, Copy)]
pub struct StatisticsSlot {
    /// The number under which its op returns statistics of a batch ([`sph_autodiff::Statistics::slot`]).
    pub slot: usize,
    /// The number of the buffer of means.
    pub mean: usize,
    /// The number of the buffer of variances.
    pub var: usize,
}
