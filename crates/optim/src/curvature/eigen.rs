//! Rectified eigenvalues of a dense block: the saddle-free Newton direction (docs/algorithm.md §5; Dauphin et al. 2014).

use sph_tensor::Element;
use sph_tensor::kernels::dot::dot_f64;

/// H = V Λ Vᵀ of one block, in f64.
#[derive(Debug, Clone)]
pub(crate) struct Eigen {
    n: usize,
    /// Columns are eigenvectors; column-major.
    vectors: Vec<f64>,
    values: Vec<f64>,
}

impl Eigen {
    /// The decomposition of the symmetric part of `h` (n×n) times `scale`; `None` when it has entries that are not finite.
    ///
    /// faer does it: maintained, pure Rust, sequential here, so the same bits on any number of threads.
    pub(crate) fn new<T: Element>(h: &[T], n: usize, scale: f64) -> Option<Self> {
        let entry = |i: usize, j: usize| 0.5 * scale * (h[i * n + j].to_f64() + h[j * n + i].to_f64());
        let symmetric = faer::Mat::from_fn(n, n, entry);
        let eigen = symmetric.self_adjoint_eigen(faer::Side::Lower).ok()?;
        let (u, s) = (eigen.U(), eigen.S().column_vector());
        let vectors: Vec<f64> = (0..n * n).map(|k| u[(k % n, k / n)]).collect();
        let values: Vec<f64> = (0..n).map(|i| s[i]).collect();
        values.iter().all(|v| v.is_finite()).then_some(Eigen { n, vectors, values })
    }

    /// Eigenvalues, from the smallest up.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Eigenvector `i`.
    pub(crate) fn vector(&self, i: usize) -> &[f64] {
        &self.vectors[i * self.n..(i + 1) * self.n]
    }

    /// m ← V f(Λ) Vᵀ m.
    pub(crate) fn apply<T: Element>(&self, f: impl Fn(f64) -> f64, m: &mut [T]) {
        let input: Vec<f64> = m.iter().map(|v| v.to_f64()).collect();
        let mut out = vec![0.0; self.n];
        for (v, value) in self.vectors.chunks_exact(self.n.max(1)).zip(&self.values) {
            let along = dot_f64(v, &input);
            let scaled = f(*value) * along;
            out.iter_mut().zip(v).for_each(|(o, v)| *o += scaled * v);
        }
        m.iter_mut().zip(out).for_each(|(m, o)| *m = T::from_f64(o));
    }
}
