//! Running statistics: what norms normalize by in training, and the buffers.

/// What norms with running statistics normalize by in training. In evaluation it is the running statistics always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormStatistics {
    /// The batch, which the running statistics follow; in a layer whose parameters are all frozen the running statistics, which stay as
    /// they are: PyTorch's `eval()` on that layer.
    #[default]
    Auto,
    /// The batch, in every layer.
    Batch,
    /// The running statistics, in every layer.
    Running,
}

impl NormStatistics {
    /// Names, values, and what each is.
    pub const ALL: [(&'static str, Self, &'static str); 3] = [
        (
            "auto",
            Self::Auto,
            "The batch's, which the running ones follow; of frozen layers the running ones, which stay",
        ),
        ("batch", Self::Batch, "The batch's in every layer"),
        ("running", Self::Running, "The running ones in every layer, which stay"),
    ];
}

/// The numbers of the buffers that hold one norm's running statistics, of its parameters, if it has any, and the weight of a new batch in them.
#[derive(Debug, Clone)]
pub(crate) struct RunningStatistics {
    pub(crate) mean: usize,
    pub(crate) var: usize,
    pub(crate) count: Option<usize>,
    pub(crate) momentum: f64,
    pub(crate) params: Vec<usize>,
}

/// What a slot of statistics moves.
#[derive(Debug, Clone)]
pub(crate) enum Tracked {
    /// Running averages of a norm.
    Averages(RunningStatistics),
    /// A buffer that the network itself computes anew.
    Written {
        /// Its number.
        buffer: usize,
    },
}

/// A norm's running statistics, as its layer refers to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticsSlot {
    /// The number under which its op returns statistics of a batch ([`sph_autodiff::Statistics::slot`]).
    pub slot: usize,
    /// The number of the buffer of means.
    pub mean: usize,
    /// The number of the buffer of variances.
    pub var: usize,
}
