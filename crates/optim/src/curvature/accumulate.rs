//! Gradient accumulation: a loss that is the mean over parts of a batch, evaluated one part after another.
//!
//! With weights wᵢ = nᵢ/N of parts of nᵢ among N samples,
//!
//! ```text
//! L = Σ wᵢLᵢ        g = Σ wᵢgᵢ        H·v = Σ wᵢHᵢ·v
//! ```
//!
//! with the same v in every part. Curvature is averaged signed; it is rectified after that, by whoever asked.

use super::{Answer, Curvature, Directions, EvalError, Factors, FisherLabels, Request, Sweep};
use sph_autodiff::ParamSpec;
use sph_tensor::{Array, Element, kernels::map};

/// A loss of a batch that can be evaluated in parts. Layers draw their masks and take their statistics part by part.
pub trait Parts<T: Element>: Curvature<T> {
    /// wᵢ of every part; they add up to 1.
    fn weights(&self) -> Vec<f64>;

    /// Makes the loss that of part `part`.
    fn select(&mut self, part: usize);

    /// The wanted rows of H·v of the part at hand, without side effects.
    ///
    /// # Errors
    /// When the loss cannot be evaluated.
    fn product(&mut self, sweep: &Sweep<T>, out: &mut Directions<T>) -> Result<(), EvalError>;
}

/// The whole batch's loss, from its parts; memory is that of the largest part.
#[derive(Debug)]
pub struct Accumulate<'a, F>(pub &'a mut F);

/// `sum += weight · new`, from nothing when there is no sum yet.
fn add<T: Element>(sum: &mut Option<Array<T>>, weight: f64, new: &Array<T>) {
    let weight = T::from_f64(weight);
    match sum {
        Some(sum) => map::update(sum.make_mut(), new.as_slice(), |s, n| s + weight * n),
        None => {
            let mut scaled = Array::stale(new.pool(), new.shape());
            map::unary(scaled.make_mut(), new.as_slice(), |n| weight * n);
            *sum = Some(scaled);
        }
    }
}

/// `sum += weight · new`, part by part.
fn add_directions<T: Element>(sum: &mut Directions<T>, weight: f64, new: &Directions<T>) {
    for (i, part) in new.iter() {
        let mut total = sum.take(i);
        add(&mut total, weight, part);
        sum.insert(i, total.expect("a sum that was just added to"));
    }
}

impl<F> Accumulate<'_, F> {
    /// Runs `f` with every part and its weight, until one fails.
    fn each<T: Element>(
        &mut self,
        mut f: impl FnMut(&mut F, f64) -> Result<(), EvalError>,
    ) -> Result<(), EvalError>
    where
        F: Parts<T>,
    {
        for (part, weight) in self.0.weights().into_iter().enumerate() {
            self.0.select(part);
            f(self.0, weight)?;
        }
        Ok(())
    }
}

impl<T: Element, F: Parts<T>> Curvature<T> for Accumulate<'_, F> {
    fn params(&self) -> &[ParamSpec] {
        self.0.params()
    }

    fn values(&self) -> &[Array<T>] {
        self.0.values()
    }

    fn evaluate(&mut self, want: &Request<T>, out: &mut Answer<T>) -> Result<(), EvalError> {
        // Tapes of all parts are what accumulation saves: later products evaluate again.
        let want = Request { keep: false, ..want.clone() };
        out.loss = 0.0;
        out.gradient = vec![None; self.params().len()];
        out.products = vec![Directions::default(); want.sweeps.len()];
        let mut answer = Answer::default();
        for (part, weight) in self.0.weights().into_iter().enumerate() {
            self.0.select(part);
            self.0.evaluate(&want, &mut answer)?;
            out.loss += weight * answer.loss;
            if !answer.loss.is_finite() {
                // The part at hand is the one to look at.
                return Ok(());
            }
            for (sum, new) in out.gradient.iter_mut().zip(&answer.gradient) {
                if let Some(new) = new {
                    add(sum, weight, new);
                }
            }
            for (sum, new) in out.products.iter_mut().zip(&answer.products) {
                add_directions(sum, weight, new);
            }
        }
        Ok(())
    }

    fn hvp(&mut self, sweep: &Sweep<T>, out: &mut Directions<T>) -> Result<(), EvalError> {
        out.clear();
        let mut product = Directions::default();
        self.each(|f, weight| {
            f.product(sweep, &mut product)?;
            add_directions(out, weight, &product);
            Ok(())
        })
    }

    fn loss_at(&mut self, step: &Directions<T>) -> Result<f64, EvalError> {
        let mut loss = 0.0;
        self.each(|f, weight| {
            loss += weight * f.loss_at(step)?;
            Ok(())
        })?;
        Ok(loss)
    }

    fn kronecker_factors(
        &mut self,
        layers: &[(usize, Option<usize>)],
        labels: &FisherLabels,
    ) -> Result<Vec<Option<Factors<T>>>, EvalError> {
        // Per part already means over its samples; a layer that one part has no factors for has none.
        let mut sums: Vec<Option<[Option<Array<T>>; 2]>> = vec![Some([None, None]); layers.len()];
        self.each(|f, weight| {
            for (sum, new) in sums.iter_mut().zip(f.kronecker_factors(layers, labels)?) {
                *sum = match (sum.take(), new) {
                    (Some([mut a, mut g]), Some(new)) => {
                        add(&mut a, weight, &new.a);
                        add(&mut g, weight, &new.g);
                        Some([a, g])
                    }
                    _ => None,
                };
            }
            Ok(())
        })?;
        let factors = |[a, g]: [Option<Array<T>>; 2]| a.zip(g).map(|(a, g)| Factors { a, g });
        Ok(sums.into_iter().map(|s| s.and_then(factors)).collect())
    }

    fn apply(&mut self, updates: &[Option<Array<T>>]) {
        self.0.apply(updates);
    }
}
