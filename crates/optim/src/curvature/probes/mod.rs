//! Probe sequences, one file each, and their table (docs/algorithm.md §4). A new one is a file here and a row of [`PROBES`].
//!
//! A probe is a function of (seed, block, visit), so a resumed run draws the same ones.

mod dense;
mod exact;
pub(crate) mod hadamard;
mod ones;
mod rademacher;

/// Which visit a probe is for.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// The optimizer's seed.
    pub seed: u64,
    /// The block, a parameter number.
    pub block: usize,
    /// How often it was visited before.
    pub visit: u64,
}

/// What is made of the products H·z_k of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimate {
    /// Σ_k z_k⊙Hz_k, one number per entry of the block.
    Entries,
    /// Row k is Hz_k: the whole block.
    Block,
}

/// A row of the table of probes.
#[derive(Debug)]
pub struct Probe {
    /// The name users give.
    pub name: &'static str,
    /// What it finds.
    pub about: &'static str,
    /// How many probes a visit to a block of `c` entries takes.
    pub count: fn(c: usize) -> usize,
    /// Writes probe `k` of a visit.
    pub fill: fn(Visit, k: usize, z: &mut [f64]),
    /// What is made of the products.
    pub estimate: Estimate,
    /// Visits to a block of `c` entries whose mean is exact, where averaging goes by whole cycles.
    pub cycle: Option<fn(c: usize) -> u64>,
    /// May cover all blocks at once (schedule `joint`).
    pub joint: bool,
    /// The absolute value of one visit's estimate means something (`average: absolute`).
    pub absolute: bool,
}

/// All probes.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "ones",
        about: "H·1, the row sums of the block: the seed, to the letter",
        count: |_| 1,
        fill: ones::fill,
        estimate: Estimate::Entries,
        cycle: None,
        joint: true,
        absolute: true,
    },
    Probe {
        name: "rademacher",
        about: "z⊙Hz for random signs z: unbiased for the diagonal",
        count: |_| 1,
        fill: rademacher::fill,
        estimate: Estimate::Entries,
        cycle: None,
        joint: true,
        absolute: false,
    },
    Probe {
        name: "hadamard",
        about: "z⊙Hz for Hadamard columns z: the mean over a cycle of visits is the diagonal",
        count: |_| 1,
        fill: hadamard::fill,
        estimate: Estimate::Entries,
        cycle: Some(hadamard::order),
        joint: false,
        absolute: false,
    },
    Probe {
        name: "exact",
        about: "the diagonal, for as many products as the block has entries",
        count: |c| c,
        fill: exact::fill,
        estimate: Estimate::Entries,
        cycle: None,
        joint: false,
        absolute: true,
    },
    Probe {
        name: "dense",
        about: "the whole block, its eigenvalues rectified",
        count: |c| c,
        fill: dense::fill,
        estimate: Estimate::Block,
        cycle: None,
        joint: false,
        absolute: false,
    },
];

/// e_k.
fn unit(k: usize, z: &mut [f64]) {
    z.fill(0.0);
    z[k] = 1.0;
}
