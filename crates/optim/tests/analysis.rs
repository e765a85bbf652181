//! The estimators of `analysis`, on a loss written by hand and on matrices, against dense decompositions.

use sph_optim::analysis::{
    EigenSettings, Hessian, Matrix, Operator, SpectrumSettings, block, diagonal, eigenpairs, spectrum, trace,
};
use sph_optim::{Answer, Curvature, Directions, EvalError, ParamSpec, Request, Role, Sweep};
use sph_tensor::{Array, Pool, Rng, Shape};

/// L(θ) = ¼ Σ_k s_k (a_kᵀθ)⁴ over two parameters: g = Σ s_k (a_kᵀθ)³ a_k, H = Σ 3 s_k (a_kᵀθ)² a_k a_kᵀ, with signs s_k.
struct Quartic {
    specs: Vec<ParamSpec>,
    values: Vec<Array<f64>>,
    rows: Vec<Vec<f64>>,
    evaluations: usize,
}

const SIZES: [usize; 2] = [5, 7];
const N: usize = 12;

impl Quartic {
    fn new() -> Self {
        let spec = |len: usize| ParamSpec::new(format!("p{len}"), &[len], Role::NormScale);
        let (pool, mut rng) = (Pool::new(), Rng::new(3, "quartic", 0, 0));
        let mut draw = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f64>>();
        let values = SIZES.map(|n| Array::from_slice(&pool, Shape::new(&[n]), &draw(n))).to_vec();
        let rows = (0..20).map(|_| draw(N)).collect();
        Quartic { specs: SIZES.map(spec).to_vec(), values, rows, evaluations: 0 }
    }

    fn point(&self) -> Vec<f64> {
        self.values.iter().flat_map(|v| v.to_f64()).collect()
    }

    fn terms(&self) -> impl Iterator<Item = (f64, f64, &Vec<f64>)> {
        let point = self.point();
        let along = move |a: &Vec<f64>| a.iter().zip(&point).map(|(a, p)| a * p).sum();
        self.rows
            .iter()
            .enumerate()
            .map(move |(k, a)| (if k.is_multiple_of(3) { -1.0 } else { 1.0 }, along(a), a))
    }

    fn gradient(&self) -> Vec<f64> {
        (0..N).map(|i| self.terms().map(|(s, u, a)| s * u.powi(3) * a[i]).sum()).collect()
    }

    fn hessian(&self) -> Vec<f64> {
        let mut h = vec![0.0; N * N];
        for (s, u, a) in self.terms() {
            (0..N * N).for_each(|k| h[k] += 3.0 * s * u * u * a[k / N] * a[k % N]);
        }
        h
    }
}

impl Curvature<f64> for Quartic {
    fn params(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn values(&self) -> &[Array<f64>] {
        &self.values
    }

    fn evaluate(&mut self, _: &Request<f64>, out: &mut Answer<f64>) -> Result<(), EvalError> {
        self.evaluations += 1;
        out.loss = self.terms().map(|(s, u, _)| 0.25 * s * u.powi(4)).sum();
        let g = self.gradient();
        let part = |v: &Array<f64>, g: &[f64]| Some(Array::from_slice(v.pool(), v.shape(), g));
        out.gradient = vec![part(&self.values[0], &g[..5]), part(&self.values[1], &g[5..])];
        Ok(())
    }

    fn hvp(&mut self, sweep: &Sweep<f64>, out: &mut Directions<f64>) -> Result<(), EvalError> {
        let (h, k) = (self.hessian(), sweep.tangents.probes());
        assert!(k <= 4, "vectors that share a sweep");
        out.clear();
        for &row in &sweep.rows {
            let mut product = vec![0.0; k * SIZES[row]];
            for (param, v) in sweep.tangents.iter() {
                for (e, out) in product.iter_mut().enumerate() {
                    let (probe, i) = (e / SIZES[row], e % SIZES[row] + row * SIZES[0]);
                    let start = param * SIZES[0];
                    *out +=
                        v.part(probe).iter().enumerate().map(|(j, v)| h[i * N + start + j] * v).sum::<f64>();
                }
            }
            let shape = Shape::new(&[k, SIZES[row]]);
            out.insert(row, Array::from_slice(self.values[0].pool(), shape, &product));
        }
        Ok(())
    }

    fn loss_at(&mut self, _: &Directions<f64>) -> Result<f64, EvalError> {
        unreachable!("analysis takes no steps")
    }

    fn apply(&mut self, _: &[Option<Array<f64>>]) {
        unreachable!("analysis takes no steps")
    }
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * scale, "{g} {w}");
    }
}

/// A random symmetric matrix whose eigenvalues fall off, of both signs.
fn matrix(n: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed, "matrix", 0, 0);
    let factors: Vec<f64> = (0..n * n).map(|_| rng.normal()).collect();
    let weight = |k: usize| if k.is_multiple_of(2) { 1.0 } else { -0.7 } / (1 + k) as f64;
    let entry =
        |i: usize, j: usize| (0..n).map(|k| factors[i * n + k] * factors[j * n + k] * weight(k)).sum();
    Matrix::new(n, (0..n * n).map(|e| entry(e / n, e % n)).collect())
}

fn by_size(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
    values
}

#[test]
fn the_operator_is_the_hessian_over_any_parameters_from_one_evaluation() {
    let mut f = Quartic::new();
    let dense = f.hessian();
    let gradient = f.gradient();
    let mut h = Hessian::new(&mut f, &[0, 1]).unwrap();
    close(h.gradient(), &gradient, 1e-14);
    let whole = block(&mut h).unwrap();
    close(whole.entries(), &dense, 1e-14);
    assert!(whole.asymmetry() < 1e-14);
    // Parameters in another order: rows and columns follow.
    let turned = block(&mut h.on(&[1, 0]).unwrap()).unwrap();
    let old = |i: usize| if i < SIZES[1] { i + SIZES[0] } else { i - SIZES[1] };
    let want: Vec<f64> = (0..N * N).map(|k| dense[old(k / N) * N + old(k % N)]).collect();
    close(turned.entries(), &want, 1e-14);
    let second = block(&mut h.on(&[1]).unwrap()).unwrap();
    let want: Vec<f64> = (0..49).map(|k| dense[(5 + k / 7) * N + 5 + k % 7]).collect();
    close(second.entries(), &want, 1e-14);
    close(h.gradient_of(1), &gradient[5..], 1e-14);
    close(h.on(&[1]).unwrap().gradient(), &gradient[5..], 1e-14);
    close(h.on(&[1, 0]).unwrap().gradient(), &[&gradient[5..], &gradient[..5]].concat(), 1e-14);
    assert_eq!(f.evaluations, 1);
}

#[test]
fn diagonal_and_trace_three_ways() {
    let mut f = Quartic::new();
    let dense = Matrix::new(N, f.hessian());
    let mut h = Hessian::new(&mut f, &[0, 1]).unwrap();
    close(&diagonal::exact(&mut h).unwrap(), &dense.diagonal(), 1e-14);
    close(&diagonal::hadamard(&mut h).unwrap(), &dense.diagonal(), 1e-13);
    close(&[trace::exact(&mut h).unwrap()], &[dense.trace()], 1e-14);
    let found = diagonal::hutchinson(&mut h, 2000, 11).unwrap();
    assert_eq!(found.len(), N);
    for (i, (found, truth)) in found.iter().zip(dense.diagonal()).enumerate() {
        let error = found.standard_error.unwrap();
        assert!((found.mean - truth).abs() <= 5.0 * error);
        // The standard error is what the literature says: Σ_{j≠i} H_ij² per probe.
        let row = &dense.entries()[i * N..(i + 1) * N];
        let variance: f64 = row.iter().map(|v| v * v).sum::<f64>() - truth * truth;
        assert!((error / (variance / 2000.0).sqrt() - 1.0).abs() < 0.2);
    }
    let found = trace::hutchinson(&mut h, 2000, 12).unwrap();
    assert!((found.mean - dense.trace()).abs() <= 5.0 * found.standard_error.unwrap());
    let again = trace::hutchinson(&mut h, 2000, 12).unwrap();
    assert_eq!(found, again);
    assert_ne!(found, trace::hutchinson(&mut h, 2000, 13).unwrap());
}

#[test]
fn eigenpairs_agree_with_a_dense_decomposition_with_and_without_restarts() {
    for (n, basis) in [(12, 24), (60, 24), (60, 9), (200, 12)] {
        let mut h = matrix(n, n as u64);
        let want = by_size(h.eigenvalues().unwrap());
        let settings = EigenSettings { basis, seed: 5, ..EigenSettings::default() };
        let found = eigenpairs(&mut h, &settings).unwrap();
        assert!(found.converged, "{n} {basis}: {:?}", found.residuals);
        assert_eq!([found.values.len(), found.vectors.len(), found.residuals.len()], [5; 3]);
        for (i, (value, want)) in found.values.iter().zip(&want).enumerate() {
            assert!((value - want).abs() <= 1e-9 * want.abs(), "{n} {basis}: {value} {want}");
            let v = &found.vectors[i];
            assert!((v.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12, "{n} {basis}");
            let hv = h.products(std::slice::from_ref(v)).unwrap().remove(0);
            let residual = hv.iter().zip(v).map(|(h, v)| (h - value * v).powi(2)).sum::<f64>().sqrt();
            assert!(residual <= 2e-6 * want.abs(), "{n} {basis}: {residual}");
            assert!(
                (residual - found.residuals[i]).abs() <= 1e-9 * want.abs(),
                "{n} {basis}: {:?}",
                found.residuals
            );
        }
    }
}

#[test]
fn eigenvalues_that_occur_several_times_and_spaces_that_end() {
    let of = |diagonal: &[f64], count: usize| {
        let n = diagonal.len();
        let entries = (0..n * n).map(|k| if k / n == k % n { diagonal[k / n] } else { 0.0 }).collect();
        let found =
            eigenpairs(&mut Matrix::new(n, entries), &EigenSettings { count, ..EigenSettings::default() })
                .unwrap();
        assert!(found.converged && found.products < 80);
        found.values
    };
    close(&of(&[2.0; 50], 3), &[2.0; 3], 1e-12);
    close(&of(&[0.0; 50], 2), &[0.0; 2], 1e-12);
    let mut rank_two = [0.0; 50];
    (rank_two[7], rank_two[9]) = (-3.0, 1.0);
    close(&of(&rank_two, 4), &[-3.0, 1.0, 0.0, 0.0], 1e-12);
    close(&of(&[4.0, -1.0], 5), &[4.0, -1.0], 1e-12);
    assert!(of(&[], 5).is_empty());
}

#[test]
fn a_search_that_ends_early_says_so() {
    let mut h = matrix(200, 1);
    let settings = EigenSettings { max_products: 8, ..EigenSettings::default() };
    let found = eigenpairs(&mut h, &settings).unwrap();
    assert!(!found.converged && found.values.len() == 5 && found.residuals[4] > 1e-6 * found.values[4].abs());
}

#[test]
fn the_density_has_the_moments_of_the_spectrum() {
    let mut h = matrix(150, 9);
    let n = h.size() as f64;
    let settings = SpectrumSettings { probes: 12, steps: 25, seed: 4 };
    let s = spectrum(&mut h, &settings).unwrap();
    assert_eq!((s.nodes.len(), s.products), (12, 300));
    for nodes in &s.nodes {
        assert!((nodes.iter().map(|(_, w)| w).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let within = |power: i32, truth: f64| {
        let found = s.moment(power);
        assert!((found.mean - truth).abs() <= 5.0 * found.standard_error.unwrap(), "{found:?} {truth}");
    };
    within(1, h.trace() / n);
    within(2, h.frobenius_norm().powi(2) / n);
    let eigenvalues = h.eigenvalues().unwrap();
    within(3, eigenvalues.iter().map(|v| v.powi(3)).sum::<f64>() / n);
    let density = s.density(2000, 0.002);
    assert!((density.integral() - 1.0).abs() < 1e-5, "{}", density.integral());
    // Its nodes have their weights: the mean is the spectrum's.
    let step = density.at[1] - density.at[0];
    let mean: f64 = density.at.iter().zip(&density.density).map(|(x, p)| x * p * step).sum();
    let (least, largest) = s.range();
    assert!((mean - s.moment(1).mean).abs() < 1e-3 * (largest - least), "{mean}");
    // Extreme nodes are extreme eigenvalues.
    let (min, max) = s.range();
    assert!((min / eigenvalues[0] - 1.0).abs() < 1e-3 && (max / eigenvalues[149] - 1.0).abs() < 1e-3);
    // A space that ends early is exact.
    let short = spectrum(&mut Matrix::new(2, vec![1.0, 0.0, 0.0, 3.0]), &settings).unwrap();
    assert!((short.moment(2).mean - 5.0).abs() < 1e-12 && short.products == 24);
}

#[test]
fn what_makes_no_sense_is_said() {
    let mut f = Quartic::new();
    assert!(Hessian::new(&mut f, &[2]).is_err());
    assert!(Hessian::new(&mut f, &[1, 1]).is_err());
    let mut h = Hessian::new(&mut f, &[1]).unwrap();
    assert!(h.on(&[0]).is_err());
    let e = trace::hutchinson(&mut h, 1, 0).unwrap_err().to_string();
    assert!(e.contains("at least 2 probes"), "{e}");
    assert!(diagonal::hutchinson(&mut h, 0, 0).is_err());
    assert!(spectrum(&mut h, &SpectrumSettings { steps: 0, ..SpectrumSettings::default() }).is_err());
    assert!(eigenpairs(&mut h, &EigenSettings { tolerance: 0.0, ..EigenSettings::default() }).is_err());
    f.values[0].make_mut()[0] = f64::NAN;
    assert!(matches!(
        Hessian::new(&mut f, &[0, 1]),
        Err(sph_optim::analysis::AnalysisError::Evaluation(EvalError::NonFiniteLoss(_)))
    ));
    assert!(Matrix::new(2, vec![0.0, 1.0, -1.0, 0.0]).asymmetry() > 1.0);
}
