//! The eigenpairs of largest absolute value, by Lanczos with full reorthogonalisation and thick restarts (Wu and Simon 2000).
//!
//! With an orthonormal basis V of a Krylov space, VᵀHV = UΘUᵀ gives Ritz pairs (θ_i, Vu_i). The next basis vector w stands
//! orthogonal to V with H V = V (VᵀHV) + β w eᵀ, so the residual of pair i is |β·(u_i)_last|. When the basis is as large as allowed,
//! it is replaced by its best Ritz vectors and w, and goes on.

use super::operator::{Operator, add_scaled, dot, normalise};
use super::{AnalysisError, Matrix};
use crate::curvature::eigen::Eigen;
use sph_tensor::Rng;

/// Settings of [`eigenpairs`].
#[derive(Debug, Clone)]
pub struct EigenSettings {
    /// How many eigenpairs are wanted; no more than n are given.
    pub count: usize,
    /// A pair has converged when ‖Hv − λv‖ ≤ tolerance·|λ|, by the recurrence. The error of λ is at most the residual, and of the order
    /// of its square where λ stands alone.
    pub tolerance: f64,
    /// Products after which the search ends, converged or not.
    pub max_products: usize,
    /// Vectors of n numbers that are kept; at least count + 2.
    pub basis: usize,
    /// Seed of the start vector.
    pub seed: u64,
}

impl Default for EigenSettings {
    fn default() -> Self {
        EigenSettings { count: 5, tolerance: 1e-6, max_products: 1000, basis: 24, seed: 0 }
    }
}

/// What [`eigenpairs`] found.
#[derive(Debug, Clone)]
pub struct Eigenpairs {
    /// Eigenvalues, the largest absolute value first.
    pub values: Vec<f64>,
    /// Their eigenvectors, of length 1.
    pub vectors: Vec<Vec<f64>>,
    /// ‖Hv − λv‖ of each pair, from products of its own.
    pub residuals: Vec<f64>,
    /// Products with H that were taken, residuals included.
    pub products: usize,
    /// All met the tolerance.
    pub converged: bool,
}

/// The `count` eigenpairs of largest |λ|.
///
/// Of an eigenvalue that occurs several times, one copy is found unless the Krylov space ends before: the start vector sees only one
/// direction of its eigenspace.
///
/// ```
/// use sph_optim::analysis::{EigenSettings, Matrix, eigenpairs};
///
/// let mut h = Matrix::new(3, vec![1.0, 0.0, 0.0, 0.0, -5.0, 0.0, 0.0, 0.0, 2.0]);
/// let top = eigenpairs(&mut h, &EigenSettings { count: 2, ..EigenSettings::default() })?;
/// assert!(top.converged && (top.values[0] + 5.0).abs() < 1e-12 && (top.values[1] - 2.0).abs() < 1e-12);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// For settings that make no sense, and as [`Operator::products`].
pub fn eigenpairs(h: &mut dyn Operator, settings: &EigenSettings) -> Result<Eigenpairs, AnalysisError> {
    if settings.tolerance.is_nan() || settings.tolerance <= 0.0 || settings.max_products == 0 {
        return Err(AnalysisError::Setting("tolerance and max_products must be greater than 0".into()));
    }
    let n = h.len();
    let count = settings.count.min(n);
    if count == 0 {
        let none = Vec::new();
        return Ok(Eigenpairs {
            values: none.clone(),
            vectors: vec![],
            residuals: none,
            products: 0,
            converged: true,
        });
    }
    let limit = settings.basis.max(count + 2).min(n);
    let mut rng = Rng::new(settings.seed, "lanczos", 0, 0);
    let mut krylov = Krylov::default();
    let mut next = random_direction(&mut rng, n, &[]);
    let (mut products, mut closed) = (0, false);
    loop {
        let image = h.products(std::slice::from_ref(&next))?.remove(0);
        products += 1;
        let (beta, w) = krylov.expand(next, image);
        let (was_closed, m) = (closed, krylov.len());
        closed = w.is_none();
        next = match w {
            Some(w) => w,
            // The space is invariant: its pairs are exact. Another direction goes on beside it.
            None if m < n => random_direction(&mut rng, n, &krylov.basis),
            None => Vec::new(),
        };
        if m < count {
            continue;
        }
        let ritz = krylov.ritz()?;
        let size = |i: usize| ritz.values()[ritz.order[i]].abs();
        let bound = |i: usize| settings.tolerance * size(i).max(1e-10 * size(0));
        let small = |i: usize| (beta * ritz.eigen.vector(ritz.order[i])[m - 1]).abs() <= bound(i);
        let converged = match (m == n, closed, was_closed) {
            (true, _, _) => true,
            // Larger eigenvalues may lie beside an invariant space.
            (false, true, false) => false,
            // A random direction beside it is an eigenvector: so is every other, with the same eigenvalue.
            (false, true, true) => krylov.projection[m - 1][m - 1].abs() <= size(count - 1) * (1.0 + 1e-12),
            (false, false, _) => (0..count).all(small),
        };
        if converged || products >= settings.max_products {
            let values: Vec<f64> = ritz.order[..count].iter().map(|&i| ritz.values()[i]).collect();
            let vectors = krylov.vectors(&ritz, count);
            let images = h.products(&vectors)?;
            let residual = |((v, hv), value): ((&Vec<f64>, &Vec<f64>), &f64)| {
                let mut r = hv.clone();
                add_scaled(&mut r, -value, v);
                dot(&r, &r).sqrt()
            };
            let residuals = vectors.iter().zip(&images).zip(&values).map(residual).collect();
            return Ok(Eigenpairs { values, vectors, residuals, products: products + count, converged });
        }
        if m == limit {
            krylov.restart(&ritz, (count + (limit - count) / 2).min(limit - 1));
        }
    }
}

/// An orthonormal basis V and the projection VᵀHV.
#[derive(Debug, Default)]
pub(super) struct Krylov {
    basis: Vec<Vec<f64>>,
    /// Row by row.
    projection: Vec<Vec<f64>>,
}

/// Eigenpairs of a projection, and their numbers by falling |θ|.
pub(super) struct Ritz {
    pub(super) eigen: Eigen,
    order: Vec<usize>,
}

impl Ritz {
    pub(super) fn values(&self) -> &[f64] {
        self.eigen.values()
    }
}

impl Krylov {
    pub(super) fn len(&self) -> usize {
        self.basis.len()
    }

    pub(super) fn basis(&self) -> &[Vec<f64>] {
        &self.basis
    }

    /// Takes v into the basis, given Hv; returns β and the next basis vector, or none when the space is invariant.
    pub(super) fn expand(&mut self, v: Vec<f64>, mut image: Vec<f64>) -> (f64, Option<Vec<f64>>) {
        self.basis.push(v);
        let before = dot(&image, &image).sqrt();
        let column = orthogonalise(&mut image, &self.basis);
        let last = self.basis.len() - 1;
        for (row, c) in self.projection.iter_mut().zip(&column) {
            row.push(*c);
        }
        self.projection.push(column);
        debug_assert_eq!(self.projection[last].len(), last + 1);
        let beta = normalise(&mut image);
        // What is left is rounding.
        if beta <= 1e-14 * before { (0.0, None) } else { (beta, Some(image)) }
    }

    pub(super) fn ritz(&self) -> Result<Ritz, AnalysisError> {
        let m = self.len();
        let entries: Vec<f64> = self.projection.iter().flatten().copied().collect();
        let matrix = Matrix::new(m, entries);
        let eigen = Eigen::new(matrix.entries(), m, 1.0).ok_or(AnalysisError::NonFinite)?;
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by(|&a, &b| eigen.values()[b].abs().total_cmp(&eigen.values()[a].abs()));
        Ok(Ritz { eigen, order })
    }

    /// The first `count` Ritz vectors.
    fn vectors(&self, ritz: &Ritz, count: usize) -> Vec<Vec<f64>> {
        let combine = |&i: &usize| {
            let mut v = vec![0.0; self.basis[0].len()];
            self.basis.iter().zip(ritz.eigen.vector(i)).for_each(|(b, u)| add_scaled(&mut v, *u, b));
            v
        };
        ritz.order[..count].iter().map(combine).collect()
    }

    /// Keeps the first `count` Ritz vectors alone. What couples them to the next basis vector comes with its product.
    fn restart(&mut self, ritz: &Ritz, count: usize) {
        self.basis = self.vectors(ritz, count);
        let entry = |i: usize, j: usize| if i == j { ritz.values()[ritz.order[i]] } else { 0.0 };
        self.projection = (0..count).map(|i| (0..count).map(|j| entry(i, j)).collect()).collect();
    }
}

/// w ← w − VVᵀw, twice, so that nothing of V is left but rounding; returns Vᵀw.
fn orthogonalise(w: &mut [f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut along = vec![0.0; basis.len()];
    for _ in 0..2 {
        for (v, along) in basis.iter().zip(&mut along) {
            let c = dot(v, w);
            add_scaled(w, -c, v);
            *along += c;
        }
    }
    along
}

/// A random unit vector orthogonal to `basis`.
fn random_direction(rng: &mut Rng, n: usize, basis: &[Vec<f64>]) -> Vec<f64> {
    let mut v: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
    orthogonalise(&mut v, basis);
    normalise(&mut v);
    v
}
