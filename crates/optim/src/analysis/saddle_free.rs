//! The saddle-free Newton step in a Krylov space (docs/algorithm.md §8; Dauphin et al. 2014).

use super::AnalysisError;
use super::lanczos::Krylov;
use super::operator::{Operator, add_scaled, dot, normalise};

/// Settings of [`saddle_free_newton`].
#[derive(Debug, Clone, PartialEq)]
pub struct SaddleFreeSettings {
    /// Dimension m of the Krylov space, at least 1: as many products with the Hessian.
    pub size: usize,
    /// ε > 0, added to absolute eigenvalues.
    pub eps: f64,
    /// The largest length of the step, greater than 0; `None` does not bound it.
    pub trust_radius: Option<f64>,
}

/// What [`saddle_free_newton`] found.
#[derive(Debug, Clone)]
pub struct SaddleFreeStep {
    /// D, the direction that is subtracted.
    pub direction: Vec<f64>,
    /// ‖D‖ before it was cut to the trust radius.
    pub norm: f64,
    /// Λ: the Hessian's eigenvalues in the Krylov space, from the smallest up.
    pub eigenvalues: Vec<f64>,
}

/// D = V U (|Λ| + ε)⁻¹ Uᵀ Vᵀ g, where V is an orthonormal basis of span{g, Hg, …, H^{m−1}g} from m steps of Lanczos with full
/// reorthogonalisation, and VᵀHV = UΛUᵀ. ‖D‖ is cut to the trust radius.
///
/// Where the space contains all that g has parts in (m = n at the latest), D = (|H| + ε)⁻¹g, exactly but for rounding.
///
/// ```
/// use sph_optim::analysis::{Matrix, SaddleFreeSettings, saddle_free_newton};
///
/// let mut h = Matrix::new(2, vec![3.0, 0.0, 0.0, -1.0]);
/// let settings = SaddleFreeSettings { size: 2, eps: 1.0, trust_radius: None };
/// let step = saddle_free_newton(&mut h, &[4.0, 4.0], &settings)?;
/// assert!((step.direction[0] - 1.0).abs() < 1e-14 && (step.direction[1] - 2.0).abs() < 1e-14);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
///
/// # Errors
/// For settings that make no sense, a gradient that is not finite, and as [`Operator::products`].
pub fn saddle_free_newton(
    h: &mut dyn Operator,
    gradient: &[f64],
    settings: &SaddleFreeSettings,
) -> Result<SaddleFreeStep, AnalysisError> {
    let SaddleFreeSettings { size, eps, trust_radius } = *settings;
    let positive = |v: f64| v > 0.0 && v.is_finite();
    if size == 0 || !positive(eps) || trust_radius.is_some_and(|r| !positive(r)) {
        return Err(AnalysisError::Setting("size, eps and trust_radius must be greater than 0".into()));
    }
    let mut next = gradient.to_vec();
    let length = normalise(&mut next);
    if !length.is_finite() {
        return Err(AnalysisError::NonFinite);
    }
    let mut direction = vec![0.0; gradient.len()];
    if length == 0.0 {
        return Ok(SaddleFreeStep { direction, norm: 0.0, eigenvalues: Vec::new() });
    }
    let mut krylov = Krylov::default();
    while krylov.len() < size.min(h.len()) {
        let image = h.products(std::slice::from_ref(&next))?.remove(0);
        match krylov.expand(next, image).1 {
            Some(w) => next = w,
            // The space is invariant: g has no part outside.
            None => break,
        }
    }
    // Vᵀg = ‖g‖ e₁, so every eigenvector counts by its first entry.
    let eigen = krylov.ritz()?.eigen;
    for (i, value) in eigen.values().iter().enumerate() {
        let u = eigen.vector(i);
        let along = length * u[0] / (value.abs() + eps);
        krylov.basis().iter().zip(u).for_each(|(v, u)| add_scaled(&mut direction, along * u, v));
    }
    let norm = dot(&direction, &direction).sqrt();
    if let Some(radius) = trust_radius.filter(|r| *r < norm) {
        direction.iter_mut().for_each(|d| *d *= radius / norm);
    }
    Ok(SaddleFreeStep { direction, norm, eigenvalues: eigen.values().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Matrix;
    use sph_tensor::Rng;

    /// An indefinite matrix with eigenvalues of both signs, two of them equal, and (|H| + ε)⁻¹g.
    fn case(n: usize, eps: f64) -> (Matrix, Vec<f64>, Vec<f64>) {
        let mut rng = Rng::new(3, "krylov", 0, 0);
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for _ in 0..n {
            let mut v: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
            for _ in 0..2 {
                basis.iter().for_each(|b| {
                    let c = dot(b, &v);
                    add_scaled(&mut v, -c, b);
                });
            }
            normalise(&mut v);
            basis.push(v);
        }
        let value = |i: usize| [2.0, -0.7, 0.01, 0.3, 0.3, -5.0, 40.0][i % 7] * (1.0 + (i / 7) as f64);
        let gradient: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let (mut h, mut newton) = (vec![0.0; n * n], vec![0.0; n]);
        for (i, v) in basis.iter().enumerate() {
            h.chunks_exact_mut(n).zip(v).for_each(|(row, vi)| add_scaled(row, value(i) * vi, v));
            add_scaled(&mut newton, dot(v, &gradient) / (value(i).abs() + eps), v);
        }
        (Matrix::new(n, h), gradient, newton)
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        let size = b.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let larger = |m: f64, d: f64| if m.is_nan() || d.is_nan() { f64::NAN } else { m.max(d) };
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger) / size
    }

    #[test]
    fn the_whole_space_gives_the_dense_step() {
        let (n, eps) = (20, 1e-3);
        let (mut h, g, newton) = case(n, eps);
        let mut step = |size| {
            let settings = SaddleFreeSettings { size, eps, trust_radius: None };
            saddle_free_newton(&mut h, &g, &settings).unwrap()
        };
        assert!(distance(&step(n).direction, &newton) < 1e-10);
        // 17 of the 20 eigenvalues are different: g has no more parts than that. A smaller space misses some of it.
        assert!(distance(&step(17).direction, &newton) < 1e-10);
        assert!(distance(&step(12).direction, &newton) > 1e-3);
    }

    #[test]
    fn the_radius_bounds_the_step_and_an_invariant_space_ends_it() {
        let (mut h, g, newton) = case(20, 1.0);
        let length = dot(&newton, &newton).sqrt();
        let settings = SaddleFreeSettings { size: 50, eps: 1.0, trust_radius: Some(0.25 * length) };
        let step = saddle_free_newton(&mut h, &g, &settings).unwrap();
        let quarter: Vec<f64> = newton.iter().map(|v| 0.25 * v).collect();
        assert!(distance(&step.direction, &quarter) < 1e-10 && (step.norm / length - 1.0).abs() < 1e-10);
        let mut flat = Matrix::new(3, vec![0.0; 9]);
        let free = SaddleFreeSettings { trust_radius: None, ..settings };
        let step = saddle_free_newton(&mut flat, &[0.0, 3.0, 4.0], &free).unwrap();
        assert_eq!((step.eigenvalues, step.norm), (vec![0.0], 5.0));
        assert_eq!(saddle_free_newton(&mut flat, &[0.0; 3], &free).unwrap().direction, [0.0; 3]);
    }
}
