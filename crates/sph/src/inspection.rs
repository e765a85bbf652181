//! How diagonal is a network's curvature? The measuring behind `sph inspect`; docs/inspect.md says how to read it.
//!
//! [`inspect`] looks at an [`Objective`] on one or several batches: for every second-order block at the Hessian H and at the
//! empirical Fisher block F, for the whole network at trace, eigenvalues and spectral density. It prints nothing and changes nothing.

use crate::objective::Objective;
use serde::{Serialize, Serializer};
use sph_data::Batch;
use sph_nn::Real;
use sph_optim::analysis::{
    AnalysisError, EigenSettings, Estimate, Hessian, Matrix, Operator, Spectrum, SpectrumSettings, block,
    diagonal, eigenpairs, spectrum,
};
use sph_optim::second_order_blocks;
use sph_tensor::DType;
use std::collections::BTreeMap;

/// What [`inspect`] looks at.
#[derive(Debug, Clone)]
pub struct InspectionSettings {
    /// Entries of the largest block whose dense Hessian and Fisher block are formed.
    pub dense_limit: usize,
    /// Random probes on each larger block.
    pub block_probes: usize,
    /// The whole network, too.
    pub network: Option<NetworkSettings>,
    /// Seed of all probes; each batch has probes of its own.
    pub seed: u64,
}

impl Default for InspectionSettings {
    fn default() -> Self {
        InspectionSettings {
            dense_limit: 256,
            block_probes: 32,
            network: Some(NetworkSettings::default()),
            seed: 0,
        }
    }
}

/// What is found out about the Hessian over all parameters.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Eigenvalues of largest absolute value.
    pub top: usize,
    /// They are known when their residuals are at most this times |λ|.
    pub tolerance: f64,
    /// Products after which the search for them ends.
    pub max_products: usize,
    /// Probes for trace and density.
    pub probes: usize,
    /// Lanczos steps per probe.
    pub steps: usize,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        NetworkSettings { top: 5, tolerance: 1e-3, max_products: 300, probes: 8, steps: 20 }
    }
}

/// A number: the mean over batches, and its standard error sd/√N when there are several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The mean; infinite where one batch's number is, as the condition number of a singular block. JSON has the text `inf` then.
    #[serde(serialize_with = "number_or_text")]
    pub mean: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
}

impl Figure {
    /// The mean of `samples`; `None` when one of them is not known (NaN), or there are none.
    fn of(samples: &[f64]) -> Option<Self> {
        let known = !samples.is_empty() && !samples.iter().any(|v| v.is_nan());
        let Estimate { mean, standard_error } = known.then(|| Estimate::of(samples))?;
        (!mean.is_nan()).then_some(Figure { mean, standard_error: standard_error.filter(|e| e.is_finite()) })
    }

    /// It is smaller than its standard error, by more than rounding: where one batch alone has something, both are equal.
    pub fn is_unresolved(&self) -> bool {
        self.standard_error.is_some_and(|e| e > self.mean.abs() * (1.0 + 1e-9))
    }
}

/// JSON has no infinite numbers.
fn number_or_text<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
    if v.is_finite() { s.serialize_f64(*v) } else { s.serialize_str(&v.to_string()) }
}

impl From<Estimate> for Figure {
    fn from(e: Estimate) -> Self {
        Figure { mean: e.mean, standard_error: e.standard_error }
    }
}

/// What one batch shows of one block.
struct Look {
    row_sums: Vec<f64>,
    /// Up to the dense limit.
    dense: Option<Dense>,
    /// Beyond it: the diagonal by random probes, and how many they were.
    probed: Option<(Vec<Estimate>, usize)>,
}

struct Dense {
    hessian: Matrix,
    eigenvalues: Vec<f64>,
    fisher: Matrix,
    /// Smaller eigenvalues are rounding.
    rounding: f64,
}

/// A number that is found for every block.
pub struct Quantity {
    /// Its name in CSV and JSON.
    pub name: &'static str,
    /// Its column in the table that is printed; none when it is left out there.
    pub head: Option<&'static str>,
    /// What it is.
    pub about: &'static str,
    of: fn(&Look) -> Option<f64>,
}

/// Everything that is found for every block. `of` gives none where it cannot be known: dense blocks are not formed beyond the limit.
pub const QUANTITIES: &[Quantity] = &[
    Quantity {
        name: "off_diagonal_ratio",
        head: Some("off/diag"),
        about: "‖H − diag H‖_F / ‖diag H‖: 0 for a diagonal block",
        of: |l| match (&l.dense, &l.probed) {
            (Some(d), _) => ratio(&d.hessian),
            // Var(z_i (Hz)_i) = Σ_{j≠i} H_ij² for random signs; squares of means are too large by their variance.
            (None, Some((e, probes))) => {
                let off: f64 = e.iter().map(|e| square(e.standard_error) * *probes as f64).sum();
                Some((off / diagonal_square(e)).sqrt())
            }
            (None, None) => None,
        },
    },
    Quantity {
        name: "row_sum_error",
        head: Some("row-sum err"),
        about: "‖H·1 − diag H‖ / ‖diag H‖: how far the seed's estimate is from the diagonal",
        of: |l| match (&l.dense, &l.probed) {
            (Some(d), _) => row_sum_error(&d.hessian),
            (None, Some((e, _))) => {
                let error = |(e, r): (&Estimate, &f64)| (r - e.mean).powi(2) - square(e.standard_error);
                let squares: f64 = e.iter().zip(&l.row_sums).map(error).sum();
                Some((squares.max(0.0) / diagonal_square(e)).sqrt())
            }
            (None, None) => None,
        },
    },
    Quantity {
        name: "sign_agreement",
        head: Some("signs"),
        about: "share of entries at which H·1 and diag H have the same sign",
        of: |l| {
            let d = l.dense.as_ref()?.hessian.diagonal();
            let agree = |(a, b): (&f64, &f64)| a * b > 0.0 || a == b;
            share(d.iter().zip(&l.row_sums), agree)
        },
    },
    Quantity {
        name: "negative_eigenvalues",
        head: Some("neg λ"),
        about: "share of negative curvature: eigenvalues of H below 0",
        of: |l| {
            let d = l.dense.as_ref()?;
            share(d.eigenvalues.iter(), |v| *v < -d.rounding)
        },
    },
    Quantity {
        name: "negative_diagonal",
        head: Some("neg diag"),
        about: "share of diagonal entries of H below 0",
        of: |l| share(l.dense.as_ref()?.hessian.diagonal().iter(), |v| *v < 0.0),
    },
    Quantity {
        name: "condition_number",
        head: Some("cond"),
        about: "largest |λ| over smallest |λ| of H; infinite for a singular block",
        of: |l| {
            let sizes = l.dense.as_ref()?.eigenvalues.iter().map(|v| v.abs());
            let (min, max) = sizes.fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
            // A block that is zero is singular, too.
            Some(if min == 0.0 { f64::INFINITY } else { max / min })
        },
    },
    Quantity {
        name: "trace",
        head: Some("trace"),
        about: "tr H",
        of: |l| match (&l.dense, &l.probed) {
            (Some(d), _) => Some(d.hessian.trace()),
            (None, Some((e, _))) => Some(e.iter().map(|e| e.mean).sum()),
            (None, None) => None,
        },
    },
    Quantity {
        name: "row_sum_min",
        head: None,
        about: "smallest entry of H·1",
        of: |l| l.row_sums.iter().copied().reduce(f64::min),
    },
    Quantity {
        name: "row_sum_max",
        head: None,
        about: "largest entry of H·1",
        of: |l| l.row_sums.iter().copied().reduce(f64::max),
    },
    Quantity {
        name: "fisher_off_diagonal_ratio",
        head: Some("F off/diag"),
        about: "‖F − diag F‖_F / ‖diag F‖ of the empirical Fisher block F",
        of: |l| ratio(&l.dense.as_ref()?.fisher),
    },
    Quantity {
        name: "fisher_row_sum_error",
        head: Some("F row-sum err"),
        about: "‖F·1 − diag F‖ / ‖diag F‖",
        of: |l| row_sum_error(&l.dense.as_ref()?.fisher),
    },
    Quantity {
        name: "fisher_trace",
        head: Some("F trace"),
        about: "tr F",
        of: |l| Some(l.dense.as_ref()?.fisher.trace()),
    },
];

fn square(v: Option<f64>) -> f64 {
    v.map_or(0.0, |v| v * v)
}

/// ‖diag H‖², estimated without bias from means with standard errors.
fn diagonal_square(e: &[Estimate]) -> f64 {
    e.iter().map(|e| e.mean * e.mean - square(e.standard_error)).sum()
}

fn ratio(m: &Matrix) -> Option<f64> {
    Some(m.off_diagonal_norm() / m.diagonal_norm())
}

fn row_sum_error(m: &Matrix) -> Option<f64> {
    let difference: f64 = m.diagonal().iter().zip(m.row_sums()).map(|(d, r)| (r - d) * (r - d)).sum();
    Some(difference.sqrt() / m.diagonal_norm())
}

fn share<E>(all: impl ExactSizeIterator<Item = E>, holds: impl Fn(E) -> bool) -> Option<f64> {
    let n = all.len() as f64;
    Some(all.filter_map(|v| holds(v).then_some(())).count() as f64 / n)
}

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

/// What [`inspect`] found.
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

/// Smallest, median and largest figure over blocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    #[serde(serialize_with = "number_or_text")]
    pub min: f64,
    /// The median.
    #[serde(serialize_with = "number_or_text")]
    pub median: f64,
    /// The largest.
    #[serde(serialize_with = "number_or_text")]
    pub max: f64,
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

/// Looks at the curvature of `f`, in its mode, on each of `batches`; `say` is told what is being done.
///
/// The numbers are means over the batches of what each batch shows alone. The last batch stays set.
///
/// ```
/// use sph::inspection::{InspectionSettings, inspect};
/// use sph::{Batch, Objective};
/// use sph_nn::models::{self, ModelConfig};
/// use sph_tensor::{Array, Pool, Shape};
///
/// let config = ModelConfig::new(1, (8, 8), 3);
/// let pool = Pool::<f64>::new();
/// let mut objective = Objective::new(models::build("mlp", &config).unwrap(), &pool, 0);
/// let pixels: Vec<f64> = (0..192).map(|i| (i * i % 17) as f64 / 17.0).collect();
/// let images = Array::from_slice(&pool, Shape::new(&[3, 8, 8, 1]), &pixels);
/// let batch = Batch { images, targets: vec![0, 2, 1].into() };
/// let settings = InspectionSettings { network: None, ..InspectionSettings::default() };
/// let found = inspect(&mut objective, [batch], &settings, &mut |_| ()).unwrap();
/// assert!(found.blocks[0].get("off_diagonal_ratio").unwrap().mean > 0.0);
/// ```
///
/// # Errors
/// When there is no batch, a batch does not fit, or a loss or a product is not finite.
pub fn inspect<T: Real>(
    f: &mut Objective<T>,
    batches: impl IntoIterator<Item = Batch<T>>,
    settings: &InspectionSettings,
    say: &mut dyn FnMut(&str),
) -> Result<Inspection, AnalysisError> {
    let blocks = second_order_blocks(f.store.specs());
    let mut found =
        Found { samples: vec![vec![Vec::new(); QUANTITIES.len()]; blocks.len()], ..Found::default() };
    for (number, batch) in batches.into_iter().enumerate() {
        f.set_batch(batch);
        f.undisturbed(|f| look(f, number, &blocks, settings, &mut found, say))?;
    }
    let Some(loss) = Figure::of(&found.losses) else {
        return Err(AnalysisError::Setting("an inspection needs a batch".into()));
    };
    let name = |(param, samples): (&usize, &Vec<Vec<f64>>)| {
        let spec = &f.store.specs()[*param];
        BlockFigures {
            param: *param,
            name: spec.name.clone(),
            entries: spec.len(),
            dense: spec.len() <= settings.dense_limit,
            figures: samples.iter().map(|s| Figure::of(s)).collect(),
        }
    };
    Ok(Inspection {
        batches: found.losses.len(),
        loss,
        blocks: blocks.iter().zip(&found.samples).map(name).collect(),
        network: (!found.spectra.is_empty())
            .then(|| found.network(f.store.specs().iter().map(|s| s.len()).sum())),
        first: found.first,
    })
}

/// What batches showed so far.
#[derive(Default)]
struct Found {
    losses: Vec<f64>,
    /// By block, quantity and batch; NaN where it is not known.
    samples: Vec<Vec<Vec<f64>>>,
    spectra: Vec<Spectrum>,
    /// By batch: eigenvalues and residuals.
    eigenvalues: Vec<(Vec<f64>, Vec<f64>)>,
    converged: bool,
    products: usize,
    first: Entries,
}

/// One batch.
fn look<T: Real>(
    f: &mut Objective<T>,
    number: usize,
    blocks: &[usize],
    settings: &InspectionSettings,
    found: &mut Found,
    say: &mut dyn FnMut(&str),
) -> Result<(), AnalysisError> {
    let specs = f.store.specs().to_vec();
    let seed = settings.seed.wrapping_add(number as u64);
    let on = format!("batch {}", number + 1);
    let small: Vec<usize> =
        blocks.iter().copied().filter(|&b| specs[b].len() <= settings.dense_limit).collect();
    say(&format!("{on}: gradients by example"));
    let by_example = f.per_example_gradients(&small)?;
    let fisher = |(&b, g): (&usize, &Vec<f64>)| (b, Matrix::second_moment(specs[b].len(), g));
    let mut fisher: BTreeMap<usize, Matrix> = small.iter().zip(&by_example).map(fisher).collect();
    let all: Vec<usize> = (0..specs.len()).collect();
    let mut hessian = Hessian::new(f, &all)?;
    found.losses.push(hessian.loss());
    let mut entries = Entries { loss: hessian.loss(), ..Entries::default() };
    entries.gradient = all.iter().map(|&i| hessian.gradient_of(i).to_vec()).collect();
    let epsilon = if T::DTYPE == DType::F32 { f32::EPSILON.into() } else { f64::EPSILON };
    for (&b, samples) in blocks.iter().zip(&mut found.samples) {
        say(&format!("{on}: {}", specs[b].name));
        let mut h = hessian.on(&[b])?;
        let c = specs[b].len();
        // The sweep of the seed itself, not the dense rows' sum.
        let row_sums = h.products(&[vec![1.0; c]])?.remove(0);
        let look = match fisher.remove(&b) {
            Some(fisher) => {
                let hessian = block(&mut h)?;
                let eigenvalues = hessian.eigenvalues()?;
                let largest = eigenvalues.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let rounding = epsilon * c as f64 * largest;
                Look { row_sums, dense: Some(Dense { hessian, eigenvalues, fisher, rounding }), probed: None }
            }
            None => {
                let probed = diagonal::hutchinson(&mut h, settings.block_probes, seed)?;
                Look { row_sums, dense: None, probed: Some((probed, settings.block_probes)) }
            }
        };
        for (sample, q) in samples.iter_mut().zip(QUANTITIES) {
            sample.push((q.of)(&look).unwrap_or(f64::NAN));
        }
        if number == 0 {
            entries.row_sums.insert(b, look.row_sums);
            if let Some(dense) = look.dense {
                entries.hessian.insert(b, dense.hessian);
                entries.fisher.insert(b, dense.fisher);
            }
        }
    }
    if number == 0 {
        found.first = entries;
    }
    if let Some(n) = &settings.network {
        let mut h = Told { of: &mut hessian, products: 0, on: format!("{on}: whole network"), say };
        let density = SpectrumSettings { probes: n.probes, steps: n.steps, seed };
        found.spectra.push(spectrum(&mut h, &density)?);
        let top = EigenSettings {
            count: n.top,
            tolerance: n.tolerance,
            max_products: n.max_products,
            seed,
            ..EigenSettings::default()
        };
        let top = eigenpairs(&mut h, &top)?;
        found.products += h.products;
        found.converged = top.converged && (found.converged || number == 0);
        found.eigenvalues.push((top.values, top.residuals));
    }
    Ok(())
}

impl Found {
    fn network(&self, parameters: usize) -> NetworkFigures {
        let n = parameters as f64;
        let traces: Vec<Estimate> = self.spectra.iter().map(|s| s.moment(1)).collect();
        let means: Vec<f64> = traces.iter().map(|t| n * t.mean).collect();
        let trace = match &traces[..] {
            [one] => Figure { mean: n * one.mean, standard_error: one.standard_error.map(|e| n * e) },
            _ => Estimate::of(&means).into(),
        };
        let eigenvalue = |i: usize| {
            let values: Vec<f64> = self.eigenvalues.iter().map(|(v, _)| v[i]).collect();
            Eigenvalue {
                absolute: Estimate::of(&values.iter().map(|v| v.abs()).collect::<Vec<_>>()).into(),
                values,
                residual: self.eigenvalues.iter().map(|(_, r)| r[i]).fold(0.0, f64::max),
            }
        };
        let pooled = Spectrum::pooled(self.spectra.iter().cloned());
        let density = pooled.density(DENSITY_POINTS, BROADENING);
        NetworkFigures {
            parameters,
            trace,
            eigenvalues: (0..self.eigenvalues[0].0.len()).map(eigenvalue).collect(),
            converged: self.converged,
            range: pooled.range(),
            density: DensityFigures { at: density.at, density: density.density, width: density.width },
            products: self.products,
        }
    }
}

/// Grid of the density, and its Gaussians' width as a share of the range: wide enough to be seen on a page.
const DENSITY_POINTS: usize = 512;
const BROADENING: f64 = 0.005;

/// An operator that tells how often it was asked.
struct Told<'a> {
    of: &'a mut dyn Operator,
    products: usize,
    on: String,
    say: &'a mut dyn FnMut(&str),
}

impl Operator for Told<'_> {
    fn len(&self) -> usize {
        self.of.len()
    }

    fn products(&mut self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, AnalysisError> {
        (self.say)(&format!("{}, {} products", self.on, self.products));
        self.products += vectors.len();
        self.of.products(vectors)
    }
}
