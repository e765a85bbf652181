//! Looking at curvature: blocks, diagonals, traces, eigenvalues and spectral densities of a loss's Hessian, from products with
//! vectors alone.
//!
//! Everything works on an [`Operator`], a symmetric map of flat vectors. [`Hessian`] makes one of any [`Curvature`] and any set of
//! its parameters; a [`Matrix`] is one, too.
//!
//! | what | function | file |
//! |---|---|---|
//! | H·v on any parameters | [`Hessian`] | `operator.rs` |
//! | the dense block | [`block()`] | `block.rs` |
//! | the diagonal: exact, Hutchinson, Hadamard | [`diagonal`] | `diagonal.rs` |
//! | the trace: exact, Hutchinson | [`trace`] | `trace.rs` |
//! | eigenvalues of largest absolute value | [`eigenpairs`] | `lanczos.rs` |
//! | the density of all eigenvalues | [`spectrum`] | `density.rs` |
//! | the saddle-free Newton step in a Krylov space | [`saddle_free_newton`] | `saddle_free.rs` |
//!
//! Sums run in f64, in a fixed order, on one thread: the same seed gives the same bits on any number of threads.
//!
//! [`Curvature`]: crate::Curvature

mod block;
mod density;
pub mod diagonal;
mod lanczos;
mod operator;
mod saddle_free;
pub mod trace;

pub use block::{Matrix, block};
pub use density::{Density, Spectrum, SpectrumSettings, spectrum};
pub use lanczos::{EigenSettings, Eigenpairs, eigenpairs};
pub use operator::{Hessian, Operator};
pub use saddle_free::{SaddleFreeSettings, SaddleFreeStep, saddle_free_newton};

use crate::EvalError;

/// What can go wrong in an analysis.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The loss could not be evaluated.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// A setting that makes no sense; says which and what to do.
    #[error("{0}")]
    Setting(String),
    /// A product with the operator, or what follows from it, is infinite or not a number.
    #[error("a product with the Hessian is not finite")]
    NonFinite,
}

/// A mean over independent samples, and how far from the truth it is likely to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Standard deviation of the samples over √(their number); `None` for a single one.
    pub standard_error: Option<f64>,
}

impl Estimate {
    /// The mean of `samples`, with variance Σ(x − mean)²/(n − 1).
    ///
    /// ```
    /// use sph_optim::analysis::Estimate;
    ///
    /// let e = Estimate::of(&[1.0, 3.0]);
    /// assert_eq!((e.mean, e.standard_error), (2.0, Some(1.0)));
    /// ```
    pub fn of(samples: &[f64]) -> Self {
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
        Estimate { mean, standard_error: (samples.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) }
    }
}

/// Entry by entry, the estimates of samples given one after the other (Welford's recurrence).
pub(super) struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub(super) fn new(n: usize) -> Self {
        Moments { count: 0.0, mean: vec![0.0; n], squares: vec![0.0; n] }
    }

    pub(super) fn take(&mut self, sample: impl Iterator<Item = f64>) {
        self.count += 1.0;
        for ((mean, squares), x) in self.mean.iter_mut().zip(&mut self.squares).zip(sample) {
            let before = x - *mean;
            *mean += before / self.count;
            *squares += before * (x - *mean);
        }
    }

    pub(super) fn estimates(&self) -> Vec<Estimate> {
        let n = self.count;
        let estimate = |(mean, squares): (&f64, &f64)| Estimate {
            mean: *mean,
            standard_error: (n > 1.0).then(|| (squares / (n - 1.0) / n).sqrt()),
        };
        self.mean.iter().zip(&self.squares).map(estimate).collect()
    }
}

/// Settings of estimators that average over probes: without two there is no standard error.
fn check_probes(probes: usize) -> Result<(), AnalysisError> {
    match probes {
        0 | 1 => {
            Err(AnalysisError::Setting(format!("a standard error needs at least 2 probes, not {probes}")))
        }
        _ => Ok(()),
    }
}
