//! The density of a Hessian's eigenvalues, by stochastic Lanczos quadrature (Ghorbani, Krishnan and Xiao 2019; Yao et al. 2020,
//! "PyHessian").
//!
//! For a probe z of random signs, m Lanczos steps from z/√n give a tridiagonal T = UΘUᵀ. With weights τ_i = (e₁ᵀu_i)²,
//!
//! ```text
//! zᵀf(H)z/n ≈ Σ_i τ_i f(θ_i),        E[zᵀf(H)z/n] = tr f(H)/n,
//! ```
//!
//! exactly for polynomials f of degree up to 2m − 1. With f a narrow Gaussian around λ this is the density at λ; with f(λ) = λ and λ² it
//! gives the moments tr H/n and ‖H‖_F²/n.

use super::diagonal::signs;
use super::lanczos::Krylov;
use super::operator::{Operator, normalise};
use super::{AnalysisError, Estimate, check_probes};
use crate::curvature::PROBES_PER_SWEEP;

/// Settings of [`spectrum`].
#[derive(Debug, Clone)]
pub struct SpectrumSettings {
    /// Probes that are averaged over; at least 2.
    pub probes: usize,
    /// Lanczos steps per probe: as many products, and at most as many eigenvalues as are told apart.
    pub steps: usize,
    /// Seed of the probes; probe k is a function of (seed, k).
    pub seed: u64,
}

impl Default for SpectrumSettings {
    fn default() -> Self {
        SpectrumSettings { probes: 8, steps: 20, seed: 0 }
    }
}

/// Basis vectors of this many numbers are kept at once, at most: 1 GB.
const KEPT_NUMBERS: usize = 1 << 27;

/// Nodes and weights of the quadrature, probe by probe.
///
/// ```
/// use sph_optim::analysis::{Matrix, SpectrumSettings, spectrum};
///
/// let mut h = Matrix::new(3, vec![1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 6.0]);
/// let spectrum = spectrum(&mut h, &SpectrumSettings::default())?;
/// assert!((spectrum.moment(1).mean - 3.0).abs() < 1e-12, "tr H/n");
/// let density = spectrum.density(512, 0.01);
/// assert!((density.integral() - 1.0).abs() < 1e-6);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// (θ_i, τ_i); the weights of each probe sum to 1.
    pub nodes: Vec<Vec<(f64, f64)>>,
    /// Products with H that were taken.
    pub products: usize,
}

/// A density on a grid of equal steps.
#[derive(Debug, Clone)]
pub struct Density {
    /// The grid, from five widths below the smallest node to five above the largest.
    pub at: Vec<f64>,
    /// Share of the eigenvalues per unit of λ.
    pub density: Vec<f64>,
    /// Standard deviation of the Gaussian that stands for each node.
    pub width: f64,
}

impl Spectrum {
    /// tr(H^power)/n, with its standard error over the probes.
    pub fn moment(&self, power: i32) -> Estimate {
        let sample = |nodes: &Vec<(f64, f64)>| nodes.iter().map(|(node, w)| w * node.powi(power)).sum();
        Estimate::of(&self.nodes.iter().map(sample).collect::<Vec<f64>>())
    }

    /// The smallest and the largest node; the spectrum lies a little beyond them.
    pub fn range(&self) -> (f64, f64) {
        let nodes = self.nodes.iter().flatten().map(|(node, _)| *node);
        nodes.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
    }

    /// The quadratures of several spectra as one, such as those of several batches.
    pub fn pooled(all: impl IntoIterator<Item = Spectrum>) -> Spectrum {
        let mut pooled = Spectrum { nodes: Vec::new(), products: 0 };
        for spectrum in all {
            pooled.nodes.extend(spectrum.nodes);
            pooled.products += spectrum.products;
        }
        pooled
    }

    /// The density on `points` grid points. Each node is a Gaussian whose standard deviation is `broadening` times the range of the nodes,
    /// or 10⁻⁸ of the largest |node| where that is more. The papers take 0.0016; a grid should have a point or more per width.
    pub fn density(&self, points: usize, broadening: f64) -> Density {
        let (min, max) = self.range();
        let scale = min.abs().max(max.abs());
        // A single eigenvalue has no range; the zero matrix not even a scale.
        let floor = if scale > 0.0 { 1e-8 * scale } else { 1e-8 };
        let width = (broadening * (max - min)).max(floor);
        let (start, end) = (min - 5.0 * width, max + 5.0 * width);
        let step = (end - start) / (points.max(2) - 1) as f64;
        let at: Vec<f64> = (0..points.max(2)).map(|i| start + step * i as f64).collect();
        let height = 1.0 / (width * (2.0 * std::f64::consts::PI).sqrt() * self.nodes.len() as f64);
        let density = |x: &f64| {
            let term = |(node, weight): &(f64, f64)| {
                let t = (x - node) / width;
                weight * height * sph_tensor::Element::exp(-0.5 * t * t)
            };
            self.nodes.iter().flatten().map(term).sum()
        };
        Density { density: at.iter().map(density).collect(), at, width }
    }
}

impl Density {
    /// The integral over the grid (trapezoidal rule); 1 but for the tails beyond five widths.
    pub fn integral(&self) -> f64 {
        let trapezoid = |(x, d): (&[f64], &[f64])| 0.5 * (x[1] - x[0]) * (d[0] + d[1]);
        self.at.windows(2).zip(self.density.windows(2)).map(trapezoid).sum()
    }
}

/// The quadrature for the density of all eigenvalues of H; see [`Spectrum`] for an example.
///
/// Takes probes × steps products, and keeps up to 4 × steps vectors of n numbers, fewer for large n.
///
/// # Errors
/// For settings that make no sense, and as [`Operator::products`].
pub fn spectrum(h: &mut dyn Operator, settings: &SpectrumSettings) -> Result<Spectrum, AnalysisError> {
    check_probes(settings.probes)?;
    let n = h.len();
    if settings.steps == 0 || n == 0 {
        return Err(AnalysisError::Setting(
            "a spectrum needs at least one Lanczos step and one parameter".into(),
        ));
    }
    let together = (KEPT_NUMBERS / n.saturating_mul(settings.steps)).clamp(1, PROBES_PER_SWEEP);
    let (mut nodes, mut products) = (Vec::with_capacity(settings.probes), 0);
    for first in (0..settings.probes).step_by(together) {
        let start = |k: usize| {
            let mut z = vec![0.0; n];
            signs(settings.seed, "density", k, &mut z);
            normalise(&mut z);
            (Krylov::default(), Some(z))
        };
        let mut runs: Vec<_> = (first..settings.probes.min(first + together)).map(start).collect();
        for _ in 0..settings.steps.min(n) {
            // A run whose space is invariant has ended: its quadrature is exact.
            let mut going: Vec<_> = runs.iter_mut().filter(|(_, next)| next.is_some()).collect();
            let vectors: Vec<Vec<f64>> = going.iter_mut().filter_map(|(_, next)| next.take()).collect();
            let images = h.products(&vectors)?;
            products += vectors.len();
            for ((krylov, next), (v, image)) in going.into_iter().zip(vectors.into_iter().zip(images)) {
                *next = krylov.expand(v, image).1;
            }
        }
        for (krylov, _) in &runs {
            let ritz = krylov.ritz()?;
            let node =
                |(i, value): (usize, &f64)| (*value, ritz.eigen.vector(i)[0] * ritz.eigen.vector(i)[0]);
            nodes.push(ritz.values().iter().enumerate().map(node).collect());
        }
    }
    Ok(Spectrum { nodes, products })
}
