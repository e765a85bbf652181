//! What is found for every block: a table.

use sph_optim::analysis::{Estimate, Matrix};

/// What one batch shows of one block.
pub(super) struct BlockSample {
    pub(super) row_sums: Vec<f64>,
    /// Up to the dense limit.
    pub(super) dense: Option<Dense>,
    /// Beyond it: the diagonal by random probes, and how many they were.
    pub(super) probed: Option<(Vec<Estimate>, usize)>,
}

/// A block whose dense Hessian and Fisher block are formed.
pub(super) struct Dense {
    pub(super) hessian: Matrix,
    pub(super) eigenvalues: Vec<f64>,
    /// `None` where the loss has no examples.
    pub(super) fisher: Option<Matrix>,
    /// Smaller eigenvalues are rounding.
    pub(super) rounding: f64,
}

/// A number that is found for every block.
pub struct Quantity {
    /// Its name in CSV and JSON.
    pub name: &'static str,
    /// Its column in the table that is printed; none when it is left out there.
    pub head: Option<&'static str>,
    /// What it is.
    pub about: &'static str,
    pub(super) of: fn(&BlockSample) -> Option<f64>,
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
        of: |l| ratio(l.dense.as_ref()?.fisher.as_ref()?),
    },
    Quantity {
        name: "fisher_row_sum_error",
        head: Some("F row-sum err"),
        about: "‖F·1 − diag F‖ / ‖diag F‖",
        of: |l| row_sum_error(l.dense.as_ref()?.fisher.as_ref()?),
    },
    Quantity {
        name: "fisher_trace",
        head: Some("F trace"),
        about: "tr F",
        of: |l| Some(l.dense.as_ref()?.fisher.as_ref()?.trace()),
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
