//! Gradients example by example, from tangents of the output.
//!
//! With ℓ_n the loss of example n, L = (1/N) Σ_n ℓ_n, and ẋ_n[c] the tangent of its output along entry c of a block,
//!
//! ```text
//! g_n[c] = dℓ_n/dθ_c = Σ_j (∂ℓ_n/∂x_{n,j}) ẋ_{n,j}[c],        (1/N) Σ_n g_n = ∂L/∂θ_b.
//! ```
//!
//! The derivative is total: under BatchNorm with the batch's statistics, θ moves these and they move every example. C tangents of one
//! recording, no backward pass, no loop over examples (which could not see the coupling).

use crate::objective::Objective;
use sph_autodiff::ops::{Bce, Mse, probabilities};
use sph_autodiff::rules::ElementLoss;
use sph_autodiff::{Tape, sweep};
use sph_data::{Answers, IGNORED};
use sph_nn::losses::Loss;
use sph_nn::{Forward, Probes, Real};
use sph_optim::EvalError;
use sph_optim::curvature::PROBES_PER_SWEEP;
use sph_tensor::Array;

impl<T: Real> Objective<T> {
    /// The gradients g_n of the examples of the batch at hand on each of `blocks`, parameter numbers: `[N, C]` row-major for a block of C
    /// entries, under the statistics of the whole batch in training mode, with label smoothing as in the loss. An example is what the loss is
    /// a mean over: a sample, or a token that counts.
    ///
    /// Changes nothing. Their second moment is the block of the empirical Fisher matrix
    /// ([`sph_optim::analysis::Matrix::second_moment`]).
    ///
    /// ```
    /// use sph_train::{Batch, Objective};
    /// use sph_nn::models::{self, ModelConfig};
    /// use sph_optim::{Curvature, analysis::Matrix};
    /// use sph_tensor::{Array, Pool, Shape};
    ///
    /// let config = ModelConfig::new(1, (8, 8), 3);
    /// let pool = Pool::<f64>::new();
    /// let mut objective = Objective::new(models::build("mlp", &config).unwrap(), &pool, 0);
    /// let pixels: Vec<f64> = (0..128).map(|i| (i * i % 17) as f64 / 17.0).collect();
    /// let images = Array::from_slice(&pool, Shape::new(&[2, 8, 8, 1]), &pixels);
    /// objective.set_batch(Batch::new(images, vec![0, 2]));
    /// let gamma = objective.params().iter().position(|p| p.name == "bn2.weight").unwrap();
    /// let gradients = objective.per_example_gradients(&[gamma]).unwrap();
    /// assert_eq!(gradients[0].len(), 2 * 64);
    /// let fisher = Matrix::second_moment(64, &gradients[0]);
    /// assert!(fisher.trace() > 0.0);
    /// ```
    ///
    /// # Errors
    /// When no batch was set, it does not fit the network, or the network's output is its loss.
    pub fn per_example_gradients(&self, blocks: &[usize]) -> Result<Vec<Vec<f64>>, EvalError> {
        let f = Forward::on(Tape::keeping(self.pool()), &self.store, self.mode, |_| Probes {
            dot: None,
            grad: false,
            hvp: false,
        });
        let (f, _, logits) = self.record(f)?;
        let (mut tape, leaves) = f.into_parts();
        let (classes, counted, slope) = self.slope(logits.value())?;
        let n = logits.value().shape().len() / classes;
        let mut all = Vec::with_capacity(blocks.len());
        for &block in blocks {
            let value = &self.store.values[block];
            let c = value.shape().len();
            let mut gradients = vec![0.0; n * c];
            for first in (0..c).step_by(PROBES_PER_SWEEP) {
                let k = PROBES_PER_SWEEP.min(c - first);
                let mut e = Array::zeros(self.pool(), value.shape().prepend(k));
                (0..k).for_each(|i| e.make_mut()[i * c + first + i] = T::ONE);
                // Logits that do not depend on the block have no tangent.
                let Some(x_dot) = sweep::jvp(&mut tape, &[(&leaves[block], e)], &logits) else { continue };
                for i in 0..k {
                    let rows = x_dot.part(i).chunks_exact(classes).zip(slope.chunks_exact(classes));
                    for ((x_dot, slope), g) in rows.zip(gradients.chunks_exact_mut(c)) {
                        g[first + i] = slope.iter().zip(x_dot).map(|(s, x)| s * x.to_f64()).sum();
                    }
                }
            }
            if counted.len() < n {
                let of = |&example: &usize| &gradients[example * c..(example + 1) * c];
                gradients = counted.iter().flat_map(of).copied().collect();
            }
            all.push(gradients);
        }
        Ok(all)
    }

    /// How many numbers of the output belong to an example, the examples that count, and ∂ℓ_n/∂x_{n,j}, the gradient of ℓ_n by its part of the
    /// output: p − q for cross-entropy, −p(log p + h) for the entropy h, ℓ′ over the numbers of a sample for a mean over elements.
    fn slope(&self, output: &Array<T>) -> Result<(usize, Vec<usize>, Vec<f64>), EvalError> {
        let batch = self.batch()?;
        let elements = |values: &[f64], slope: fn(f64, f64) -> [f64; 3]| {
            let n = batch.len();
            let each = output.shape().len() / n;
            let pairs = output.as_slice().iter().zip(values);
            let slopes = pairs.map(|(x, t)| slope(x.to_f64(), *t)[1] / each as f64).collect();
            (each, (0..n).collect(), slopes)
        };
        match (self.loss, &batch.targets) {
            (Loss::Mse, Answers::Values(values)) => return Ok(elements(&values.values, Mse::at)),
            (Loss::Bce, Answers::Values(values)) => return Ok(elements(&values.values, Bce::at)),
            (Loss::CrossEntropy, Answers::Classes(_)) | (Loss::Entropy, _) => (),
            (loss, _) => return Err(EvalError::Other(Box::new(NoExamples(loss.name())))),
        }
        let classes = output.shape().last();
        let targets = batch.targets.classes().filter(|_| self.loss == Loss::CrossEntropy);
        let row = |(n, logits): (usize, &[T])| {
            let mut p = vec![0.0; classes];
            let log_norm = probabilities(logits, &mut p);
            let l = |j: usize| logits[j].to_f64() - log_norm;
            let h = -p.iter().enumerate().map(|(j, p)| p * l(j)).sum::<f64>();
            let slope = |(j, p): (usize, &f64)| match targets {
                Some(targets) => p - targets.probability(n, j, classes, self.smoothing),
                None => -p * (l(j) + h),
            };
            p.iter().enumerate().map(slope).collect::<Vec<f64>>()
        };
        let slopes = output.as_slice().chunks_exact(classes).enumerate().flat_map(row).collect();
        let counts = |n: &usize| targets.is_none_or(|targets| targets[*n] != IGNORED);
        Ok((classes, (0..output.shape().len() / classes).filter(counts).collect(), slopes))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`loss` {0} is one number, of which no example has a part")]
struct NoExamples(&'static str);
