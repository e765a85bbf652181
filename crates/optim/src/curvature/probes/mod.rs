//! Probe sequences, one file each, and their table (docs/algorithm.md §4). A new one is a file here and a row of [`PROBES`].
//!
//! A probe is a function of (seed, block, visit), so a resumed run draws the same ones.

mod ones;

/// A row of the table of probes.
#[derive(Debug)]
pub struct Probe {
    /// The name users give.
    pub name: &'static str,
    /// What z⊙Hz is under it.
    pub about: &'static str,
    /// Entry `entry` of the probe of `block` at its `visit`-th visit (from 0), for a seed.
    pub entry: fn(seed: u64, block: usize, visit: u64, entry: usize) -> f64,
}

/// All probes.
pub const PROBES: &[Probe] = &[Probe {
    name: "ones",
    about: "H·1, the row sums of the block: the seed, to the letter",
    entry: ones::entry,
}];
