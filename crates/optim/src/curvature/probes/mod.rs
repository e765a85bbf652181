//! Probe sequences, one file each, and their table (docs/algorithm.md §4). A new one is a file here and a row of [`probes`].
//!
//! A probe is a function of (seed, block, visit), so a resumed run draws the same ones.

mod dense;
mod exact;
mod hadamard;
mod ones;
mod rademacher;

pub use dense::Dense;
pub use exact::Exact;
pub use hadamard::Hadamard;
pub use ones::Ones;
pub use rademacher::Rademacher;

use std::fmt::Debug;
use std::sync::Arc;

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

/// The vectors that H is multiplied by.
///
/// ```
/// use sph_optim::curvature::probes::{Probe, Visit};
/// use sph_optim::presets::SphDrs;
///
/// /// Signs that alternate, the first of them by the number of the visit.
/// #[derive(Debug)]
/// struct Alternating;
///
/// impl Probe for Alternating {
///     fn name(&self) -> &str { "alternating" }
///     fn about(&self) -> &str { "z⊙Hz for alternating signs z" }
///     fn fill(&self, v: Visit, _: usize, z: &mut [f64]) {
///         z.iter_mut().enumerate().for_each(|(i, z)| *z = if (i as u64 + v.visit) % 2 == 0 { 1.0 } else { -1.0 });
///     }
/// }
///
/// let ours = SphDrs { probe: std::sync::Arc::new(Alternating), ..SphDrs::default() };
/// # let _ = ours;
/// ```
pub trait Probe: Debug + Send + Sync {
    /// The name users give.
    fn name(&self) -> &str;

    /// What it finds, in one line.
    fn about(&self) -> &str;

    /// How many probes a visit to a block of `entries` takes.
    fn count(&self, entries: usize) -> usize {
        let _ = entries;
        1
    }

    /// Writes probe `k` of a visit, one number per entry of the block.
    fn fill(&self, visit: Visit, k: usize, z: &mut [f64]);

    /// What is made of the products.
    fn estimate(&self) -> Estimate {
        Estimate::Entries
    }

    /// Visits to a block of `entries` whose mean is exact, where averaging goes by whole cycles.
    fn cycle(&self, entries: usize) -> Option<u64> {
        let _ = entries;
        None
    }

    /// Whether it may cover all blocks at once (a schedule that is joint).
    fn joint(&self) -> bool {
        false
    }

    /// Whether the absolute value of one visit's estimate means something (`average` absolute).
    fn absolute(&self) -> bool {
        false
    }
}

/// All probes.
pub fn probes() -> Vec<Arc<dyn Probe>> {
    vec![Arc::new(Ones), Arc::new(Rademacher), Arc::new(Hadamard), Arc::new(Exact), Arc::new(Dense)]
}

/// The probe of that name.
pub fn find(name: &str) -> Option<Arc<dyn Probe>> {
    probes().into_iter().find(|p| p.name() == name)
}

/// e_k.
fn unit(k: usize, z: &mut [f64]) {
    z.fill(0.0);
    z[k] = 1.0;
}
