//! What the runs of a comparison are.

/// The command that each run of a comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Job {
    /// `sph train`.
    #[default]
    Train,
    /// `sph adapt`.
    Adapt,
}

impl Job {
    /// The two settings that say what optimizers are compared on: what a run reads, and which network.
    pub fn places(self) -> [&'static str; 2] {
        match self {
            Job::Train => ["dataset", "model"],
            Job::Adapt => ["corrupt", "checkpoint"],
        }
    }

    /// The place of a run in words.
    pub fn place(self, data: &str, network: &str) -> String {
        match (self, data) {
            (Job::Train, _) => format!("{network} on {data}"),
            (Job::Adapt, NOTHING) => format!("{network}, no corruption"),
            (Job::Adapt, _) => format!("{network} under {data}"),
        }
    }

    /// What a row of its results is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Job::Train => "epoch",
            Job::Adapt => "step",
        }
    }
}

/// The corruption of an adaptation to images as they are.
pub const NOTHING: &str = "none";
