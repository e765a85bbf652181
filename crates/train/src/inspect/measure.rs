//! Measuring, batch by batch.

use super::figure::Figure;
use super::inspection::{BlockFigures, DensityFigures, Eigenvalue, Entries, Inspection, NetworkFigures};
use super::quantities::{BlockSample, Dense, QUANTITIES};
use super::settings::InspectionSettings;
use crate::objective::Objective;
use sph_data::Batch;
use sph_nn::Real;
use sph_nn::losses::Loss;
use sph_optim::analysis::{
    AnalysisError, EigenSettings, Estimate, Hessian, Matrix, Operator, Spectrum, SpectrumSettings, block,
    diagonal, eigenpairs, spectrum,
};
use sph_optim::second_order_blocks;
use sph_tensor::DType;
use std::collections::BTreeMap;

/// Looks at the curvature of `f`, in its mode, on each of `batches`; `say` is told what is being done.
///
/// The numbers are means over the batches of what each batch shows alone. The last batch stays set.
///
/// ```
/// use sph_train::inspect::{InspectionSettings, inspect};
/// use sph_train::{Batch, Objective};
/// use sph_nn::models::{self, ModelConfig};
/// use sph_tensor::{Array, Pool, Shape};
///
/// let config = ModelConfig::new(1, (8, 8), 3);
/// let pool = Pool::<f64>::new();
/// let mut objective = Objective::new(models::build("mlp", &config).unwrap(), &pool, 0);
/// let pixels: Vec<f64> = (0..192).map(|i| (i * i % 17) as f64 / 17.0).collect();
/// let images = Array::from_slice(&pool, Shape::new(&[3, 8, 8, 1]), &pixels);
/// let batch = Batch::new(images, vec![0, 2, 1]);
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
        Samples { samples: vec![vec![Vec::new(); QUANTITIES.len()]; blocks.len()], ..Samples::default() };
    for (number, batch) in batches.into_iter().enumerate() {
        f.set_batch(batch);
        f.undisturbed(|f| measure(f, number, &blocks, settings, &mut found, say))?;
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

/// What the batches so far showed.
#[derive(Default)]
struct Samples {
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

/// Takes one batch's samples.
fn measure<T: Real>(
    f: &mut Objective<T>,
    number: usize,
    blocks: &[usize],
    settings: &InspectionSettings,
    found: &mut Samples,
    say: &mut dyn FnMut(&str),
) -> Result<(), AnalysisError> {
    let specs = f.store.specs().to_vec();
    let seed = settings.seed.wrapping_add(number as u64);
    let on = format!("batch {}", number + 1);
    let small: Vec<usize> =
        blocks.iter().copied().filter(|&b| specs[b].len() <= settings.dense_limit).collect();
    say(&format!("{on}: gradients by example"));
    // A network that computes its loss has no examples, and so no Fisher matrix of them.
    let by_example = match f.loss {
        Loss::Graph => Vec::new(),
        _ => f.per_example_gradients(&small)?,
    };
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
        let sample = match small.contains(&b) {
            true => {
                let fisher = fisher.remove(&b);
                let hessian = block(&mut h)?;
                let eigenvalues = hessian.eigenvalues()?;
                let largest = eigenvalues.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let rounding = epsilon * c as f64 * largest;
                BlockSample {
                    row_sums,
                    dense: Some(Dense { hessian, eigenvalues, fisher, rounding }),
                    probed: None,
                }
            }
            false => {
                let probed = diagonal::hutchinson(&mut h, settings.block_probes, seed)?;
                BlockSample { row_sums, dense: None, probed: Some((probed, settings.block_probes)) }
            }
        };
        for (values, q) in samples.iter_mut().zip(QUANTITIES) {
            values.push((q.of)(&sample).unwrap_or(f64::NAN));
        }
        if number == 0 {
            entries.row_sums.insert(b, sample.row_sums);
            if let Some(dense) = sample.dense {
                entries.hessian.insert(b, dense.hessian);
                entries.fisher.extend(dense.fisher.map(|fisher| (b, fisher)));
            }
        }
    }
    if number == 0 {
        found.first = entries;
    }
    if let Some(n) = &settings.network {
        let mut h =
            CountedOperator { of: &mut hessian, products: 0, on: format!("{on}: whole network"), say };
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

impl Samples {
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

/// An operator that counts its products and says how many there were.
struct CountedOperator<'a> {
    of: &'a mut dyn Operator,
    products: usize,
    on: String,
    say: &'a mut dyn FnMut(&str),
}

impl Operator for CountedOperator<'_> {
    fn len(&self) -> usize {
        self.of.len()
    }

    fn products(&mut self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, AnalysisError> {
        (self.say)(&format!("{}, {} products", self.on, self.products));
        self.products += vectors.len();
        self.of.products(vectors)
    }
}
