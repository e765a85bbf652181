//! Where running statistics are kept.

/// Where the running statistics of one norm are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunningStatistics {
    pub(crate) mean: usize,
    pub(crate) var: usize,
    pub(crate) count: usize,
    pub(crate) momentum: f64,
}

/// Running statistics of one norm layer, by number.
#[derive(Debug, Clone, Copy)]
pub struct StatisticsSlot {
    /// The slot for [`sph_autodiff::Statistics`].
    pub slot: usize,
    /// Buffer of the mean.
    pub mean: usize,
    /// Buffer of the variance.
    pub var: usize,
}
