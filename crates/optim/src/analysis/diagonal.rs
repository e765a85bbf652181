//! The diagonal of a Hessian, three ways.
//!
//! | function | products | what it gives |
//! |---|---|---|
//! | [`exact`] | n | diag(H) |
//! | [`hutchinson`] | as many as asked for | unbiased estimates z⊙Hz, z of random signs, with standard errors |
//! | [`hadamard`] | 2^⌈log₂ n⌉ | diag(H), by the mean of z⊙Hz over Hadamard columns |
//!
//! For random signs the variance of entry i of z⊙Hz is Σ_{j≠i} H_ij²: the estimate is exact where H is diagonal (Bekas,
//! Kokiopoulou and Saad 2007).

use super::operator::{Operator, probe_products, unit_products};
use super::{AnalysisError, Estimate, Moments, check_probes};
use crate::curvature::probes::{Hadamard, Probe, Visit};
use sph_tensor::Rng;

/// diag(H), from n products with unit vectors; H itself is not kept.
///
/// ```
/// use sph_optim::analysis::{Matrix, diagonal};
///
/// let mut h = Matrix::new(2, vec![2.0, 1.0, 1.0, 3.0]);
/// assert_eq!(diagonal::exact(&mut h)?, [2.0, 3.0]);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// As [`Operator::products`].
pub fn exact(h: &mut dyn Operator) -> Result<Vec<f64>, AnalysisError> {
    let mut diagonal = Vec::with_capacity(h.len());
    unit_products(h, |i, row| diagonal.push(row[i]))?;
    Ok(diagonal)
}

/// Entry by entry, the mean and standard error of z⊙Hz over `probes` vectors of random signs (Hutchinson 1990). Probe k is a
/// function of (`seed`, k).
///
/// ```
/// use sph_optim::analysis::{Matrix, diagonal};
///
/// let mut h = Matrix::new(2, vec![2.0, 1.0, 1.0, 3.0]);
/// for (found, truth) in diagonal::hutchinson(&mut h, 100, 0)?.iter().zip([2.0, 3.0]) {
///     assert!((found.mean - truth).abs() <= 5.0 * found.standard_error.unwrap());
/// }
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// When `probes` is less than 2, and as [`Operator::products`].
pub fn hutchinson(h: &mut dyn Operator, probes: usize, seed: u64) -> Result<Vec<Estimate>, AnalysisError> {
    check_probes(probes)?;
    let mut moments = Moments::new(h.len());
    let fill = |k: usize, z: &mut [f64]| signs(seed, "diagonal", k, z);
    probe_products(h, probes, fill, |z, hz| moments.take(z.iter().zip(hz).map(|(z, h)| z * h)))?;
    Ok(moments.estimates())
}

/// diag(H), from 2^⌈log₂ n⌉ products: the columns of the Sylvester–Hadamard matrix of that order, cut to n rows, are orthogonal row
/// by row, so the off-diagonal entries cancel in the mean of z⊙Hz (Bekas, Kokiopoulou and Saad 2007).
///
/// ```
/// use sph_optim::analysis::{Matrix, diagonal};
///
/// let mut h = Matrix::new(3, vec![2.0, 1.0, 5.0, 1.0, 3.0, 0.0, 5.0, 0.0, 4.0]);
/// assert_eq!(diagonal::hadamard(&mut h)?, [2.0, 3.0, 4.0]);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// As [`Operator::products`].
pub fn hadamard(h: &mut dyn Operator) -> Result<Vec<f64>, AnalysisError> {
    let order = h.len().next_power_of_two();
    let mut sums = vec![0.0; h.len()];
    let fill = |k: usize, z: &mut [f64]| Hadamard.fill(Visit { seed: 0, block: 0, visit: k as u64 }, 0, z);
    probe_products(h, order, fill, |z, hz| {
        sums.iter_mut().zip(z.iter().zip(hz)).for_each(|(s, (z, h))| *s += z * h);
    })?;
    sums.iter_mut().for_each(|s| *s /= order as f64);
    Ok(sums)
}

/// Random signs: vector `k` for `purpose`.
pub(super) fn signs(seed: u64, purpose: &str, k: usize, z: &mut [f64]) {
    let mut rng = Rng::new(seed, purpose, k as u64, 0);
    z.iter_mut().for_each(|z| *z = rng.sign());
}
