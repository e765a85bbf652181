//! The dense Hessian, column by column: n products with unit vectors.

use super::AnalysisError;
use super::operator::{Operator, dot, unit_products};
use crate::curvature::eigen::Eigen;

/// An n×n matrix that is symmetric but for rounding, row-major.
///
/// ```
/// use sph_optim::analysis::Matrix;
///
/// let h = Matrix::new(2, vec![2.0, 3.0, 3.0, 2.0]);
/// assert_eq!((h.diagonal(), h.row_sums(), h.trace()), (vec![2.0, 2.0], vec![5.0, 5.0], 4.0));
/// assert!((h.off_diagonal_norm() / h.diagonal_norm() - 1.5).abs() < 1e-15);
/// assert!((h.eigenvalues().unwrap()[0] + 1.0).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    n: usize,
    entries: Vec<f64>,
}

impl Matrix {
    /// A matrix from its rows.
    ///
    /// # Panics
    /// When there are not n² entries.
    pub fn new(n: usize, entries: Vec<f64>) -> Self {
        assert_eq!(entries.len(), n * n, "entries of a square matrix");
        Matrix { n, entries }
    }

    /// (1/N) Σ_n g_n g_nᵀ for the N rows g_n of `samples`, each of n entries: an empirical Fisher block, when they are gradients of
    /// the examples of a batch (docs/inspect.md).
    ///
    /// ```
    /// use sph_optim::analysis::Matrix;
    ///
    /// let fisher = Matrix::second_moment(2, &[1.0, 0.0, 1.0, 2.0]);
    /// assert_eq!(fisher.entries(), [1.0, 1.0, 1.0, 2.0]);
    /// ```
    pub fn second_moment(n: usize, samples: &[f64]) -> Self {
        let count = samples.len() / n.max(1);
        let mut entries = vec![0.0; n * n];
        for g in samples.chunks_exact(n.max(1)) {
            for (row, gi) in entries.chunks_exact_mut(n).zip(g) {
                row.iter_mut().zip(g).for_each(|(e, gj)| *e += gi * gj);
            }
        }
        entries.iter_mut().for_each(|e| *e /= count.max(1) as f64);
        Matrix { n, entries }
    }

    /// n.
    pub fn size(&self) -> usize {
        self.n
    }

    /// All n² entries, row by row.
    pub fn entries(&self) -> &[f64] {
        &self.entries
    }

    /// ‖H − Hᵀ‖_F / ‖H‖_F; 0 for the zero matrix. Beyond rounding, a second derivative is wrong.
    pub fn asymmetry(&self) -> f64 {
        let n = self.n;
        let difference = |k: usize| self.entries[k] - self.entries[k % n * n + k / n];
        let squares: f64 = (0..n * n).map(|k| difference(k) * difference(k)).sum();
        let norm = self.frobenius_norm();
        if norm == 0.0 { 0.0 } else { squares.sqrt() / norm }
    }

    /// The diagonal.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.n).map(|i| self.entries[i * self.n + i]).collect()
    }

    /// H·1.
    pub fn row_sums(&self) -> Vec<f64> {
        self.entries.chunks(self.n.max(1)).map(|row| row.iter().sum()).collect()
    }

    /// The sum of the diagonal.
    pub fn trace(&self) -> f64 {
        self.diagonal().iter().sum()
    }

    /// ‖H‖_F.
    pub fn frobenius_norm(&self) -> f64 {
        dot(&self.entries, &self.entries).sqrt()
    }

    /// ‖diag(H)‖₂.
    pub fn diagonal_norm(&self) -> f64 {
        self.diagonal().iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    /// ‖H − diag(H)‖_F.
    pub fn off_diagonal_norm(&self) -> f64 {
        let off = self.entries.iter().enumerate().filter(|(k, _)| k / self.n != k % self.n);
        off.map(|(_, v)| v * v).sum::<f64>().sqrt()
    }

    /// Eigenvalues of the symmetric part, from the smallest up (faer).
    ///
    /// # Errors
    /// When entries are not finite.
    pub fn eigenvalues(&self) -> Result<Vec<f64>, AnalysisError> {
        let eigen = Eigen::new(&self.entries, self.n, 1.0).ok_or(AnalysisError::NonFinite)?;
        Ok(eigen.values().to_vec())
    }
}

impl Operator for Matrix {
    fn len(&self) -> usize {
        self.n
    }

    fn products(&mut self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, AnalysisError> {
        let product = |v: &Vec<f64>| self.entries.chunks(self.n.max(1)).map(|row| dot(row, v)).collect();
        Ok(vectors.iter().map(product).collect())
    }
}

/// The whole of H, as computed: row i is the product H e_i, which is column i. It is not symmetrised; see [`Matrix::asymmetry`].
///
/// Takes n products and n² numbers of memory.
///
/// ```
/// use sph_optim::analysis::{Matrix, block};
///
/// let mut h = Matrix::new(2, vec![2.0, 1.0, 1.0, 3.0]);
/// assert_eq!(block(&mut h)?, h);
/// assert_eq!(h.asymmetry(), 0.0);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// As [`Operator::products`].
pub fn block(h: &mut dyn Operator) -> Result<Matrix, AnalysisError> {
    let n = h.len();
    let mut entries = Vec::with_capacity(n * n);
    unit_products(h, |_, row| entries.extend_from_slice(row))?;
    Ok(Matrix { n, entries })
}
