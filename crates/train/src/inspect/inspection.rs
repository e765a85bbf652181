//! What an inspection finds.

use super::figure::{Figure, Spread};
use super::quantities::QUANTITIES;
use serde::{Serialize, Serializer};
use sph_optim::analysis::Matrix;
use std::collections::BTreeMap;

/// What was found for one block.
#[derive(Debug, Clone, Serialize)]
pub struct BlockFigures {
    /// The parameter's number.
    #[serde(skip)]
    pub param: usize,
    /// The parameter.
    pub name: String,
    /// C.
    pub entries: usize,
    /// The C×C block was formed; if not, ratio, error and trace are estimates from random probes.
    pub dense: bool,
    /// By the numbers of [`QUANTITIES`].
    #[serde(flatten, serialize_with = "by_name")]
    pub figures: Vec<Option<Figure>>,
}

fn by_name<S: Serializer>(figures: &[Option<Figure>], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(QUANTITIES.iter().map(|q| q.name).zip(figures))
}

impl BlockFigures {
    /// The figure called `quantity`.
    pub fn get(&self, quantity: &str) -> Option<Figure> {
        self.figures[QUANTITIES.iter().position(|q| q.name == quantity)?]
    }
}

/// The Hessian over all parameters.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkFigures {
    /// Number of parameters n.
    pub parameters: usize,
    /// tr H. Its standard error is over batches, or over probes when there is one batch.
    pub trace: Figure,
    /// The eigenvalues of largest absolute value, the largest first.
    pub eigenvalues: Vec<Eigenvalue>,
    /// All of them met the tolerance, on every batch.
    pub converged: bool,
    /// Smallest and largest Ritz value of the density's quadrature.
    pub range: (f64, f64),
    /// Share of the eigenvalues per unit of λ.
    pub density: DensityFigures,
    /// Products with H that were taken, on all batches.
    pub products: usize,
}

/// The i-th eigenvalue by absolute value.
#[derive(Debug, Clone, Serialize)]
pub struct Eigenvalue {
    /// On each batch. A mean of these would mix signs.
    pub values: Vec<f64>,
    /// |λ|.
    pub absolute: Figure,
    /// ‖Hv − λv‖, the largest over the batches.
    pub residual: f64,
}

/// A density on a grid.
#[derive(Debug, Clone, Serialize)]
pub struct DensityFigures {
    /// λ.
    pub at: Vec<f64>,
    /// The density at λ.
    pub density: Vec<f64>,
    /// Standard deviation of the Gaussians it is a sum of.
    pub width: f64,
}

/// What an inspection found.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Number of batches.
    pub batches: usize,
    /// The loss.
    pub loss: Figure,
    /// The second-order blocks; none when the model has none.
    pub blocks: Vec<BlockFigures>,
    /// The whole network, when asked for.
    pub network: Option<NetworkFigures>,
    /// What the first batch showed, entry by entry.
    #[serde(skip)]
    pub first: Entries,
}

/// Loss, gradient, row sums and dense blocks on one batch.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// The loss.
    pub loss: f64,
    /// By parameter number.
    pub gradient: Vec<Vec<f64>>,
    /// H·1, by block.
    pub row_sums: BTreeMap<usize, Vec<f64>>,
    /// By block, up to the dense limit; as computed, not symmetrised.
    pub hessian: BTreeMap<usize, Matrix>,
    /// The empirical Fisher blocks.
    pub fisher: BTreeMap<usize, Matrix>,
}

impl Inspection {
    /// A quantity over the blocks where it is known; `None` when it is nowhere.
    pub fn spread(&self, quantity: &str) -> Option<Spread> {
        let mut all: Vec<f64> = self.blocks.iter().filter_map(|b| b.get(quantity)).map(|f| f.mean).collect();
        all.sort_by(f64::total_cmp);
        let (min, max) = (*all.first()?, *all.last()?);
        let middle = all.len() / 2;
        let median = if all.len() % 2 == 1 { all[middle] } else { 0.5 * (all[middle - 1] + all[middle]) };
        Some(Spread { min, median, max })
    }
}
