//! The trace of a Hessian.
//!
//! `E[zᵀHz] = tr H` for z of random signs, with variance 2 Σ_{i≠j} H_ij² (Hutchinson 1990).

use super::diagonal::signs;
use super::operator::{Operator, dot, probe_products, unit_products};
use super::{AnalysisError, Estimate, check_probes};

/// tr H, from n products with unit vectors.
///
/// ```
/// use sph_optim::analysis::{Matrix, trace};
///
/// let mut h = Matrix::new(2, vec![2.0, 1.0, 1.0, 3.0]);
/// assert_eq!(trace::exact(&mut h)?, 5.0);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// As [`Operator::products`].
pub fn exact(h: &mut dyn Operator) -> Result<f64, AnalysisError> {
    let mut sum = 0.0;
    unit_products(h, |i, row| sum += row[i])?;
    Ok(sum)
}

/// The mean and standard error of zᵀHz over `probes` vectors of random signs. Probe k is a function of (`seed`, k).
///
/// ```
/// use sph_optim::analysis::{Matrix, trace};
///
/// let mut h = Matrix::new(2, vec![2.0, 1.0, 1.0, 3.0]);
/// let found = trace::hutchinson(&mut h, 100, 0)?;
/// assert!((found.mean - 5.0).abs() <= 5.0 * found.standard_error.unwrap());
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// When `probes` is less than 2, and as [`Operator::products`].
pub fn hutchinson(h: &mut dyn Operator, probes: usize, seed: u64) -> Result<Estimate, AnalysisError> {
    check_probes(probes)?;
    let mut samples = Vec::with_capacity(probes);
    let fill = |k: usize, z: &mut [f64]| signs(seed, "trace", k, z);
    probe_products(h, probes, fill, |z, hz| samples.push(dot(z, hz)))?;
    Ok(Estimate::of(&samples))
}
