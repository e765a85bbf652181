//! Losses that are the mean of a function of each element and its target: L = (1/n) Σ ℓ(xᵢ, tᵢ).
//!
//! ```text
//! ẏ = (1/n) Σ ℓ′ẋ      x̄ = ȳℓ′/n      x̄̇ = (ȳ̇ℓ′ + ȳℓ″ẋ)/n
//! ```
//!
//! In f64 for both element types: the loss is what runs are compared by.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::fmt::Debug;
use std::sync::Arc;

/// A function of an element and its target.
pub trait ElementLoss: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    const NAME: &'static str;

    /// ℓ and its first and second derivative in x.
    fn at(x: f64, target: f64) -> [f64; 3];

    /// What is wrong with a target, if anything.
    fn refuse(target: f64) -> Option<String> {
        (!target.is_finite()).then(|| format!("target {target} is not finite"))
    }
}

/// The op made from an [`ElementLoss`] and the targets, one per element.
#[derive(Debug)]
pub struct MeanLossOp<L> {
    /// In the order of x's elements.
    targets: Arc<[f64]>,
    loss: std::marker::PhantomData<L>,
}

impl<L: ElementLoss> MeanLossOp<L> {
    pub(crate) fn new(targets: Arc<[f64]>) -> Self {
        MeanLossOp { targets, loss: std::marker::PhantomData }
    }

    /// x, ℓ, ℓ′, ℓ″ of every element.
    fn each<'a, T: Element>(&'a self, x: &'a [T]) -> impl Iterator<Item = [f64; 3]> + 'a {
        x.iter().zip(&*self.targets).map(|(x, t)| L::at(x.to_f64(), *t))
    }
}

impl<T: Element, L: ElementLoss> Op<T> for MeanLossOp<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[0].len() != self.targets.len() || x[0].len() == 0 {
            let reason = format!("expects as many elements as there are targets, {}", self.targets.len());
            return Err(ShapeError::new(L::NAME, reason, x));
        }
        match self.targets.iter().find_map(|t| L::refuse(*t)) {
            Some(reason) => Err(ShapeError::new(L::NAME, reason, x)),
            None => Ok(Shape::scalar()),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let sum: f64 = self.each(x[0].as_slice()).map(|l| l[0]).sum();
        let loss = sum / self.targets.len() as f64;
        (Array::full(&cx.pool, y, T::from_f64(loss)), Residuals::new([keep.any().then(|| x[0].clone())]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        let scale = y_bar.as_slice()[0].to_f64() / self.targets.len() as f64;
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.x[0]);
            let terms = self.each(r.residuals.at(0).as_slice());
            x_bar.make_mut().iter_mut().zip(terms).for_each(|(o, l)| *o = T::from_f64(scale * l[1]));
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let x_dot = x_dot[0].expect("a tangent");
        cx.each_probe(r.y, |k, y_dot| {
            let terms = self.each(r.residuals.at(0).as_slice()).zip(x_dot.part(k));
            let sum: f64 = terms.map(|(l, d)| l[1] * d.to_f64()).sum();
            y_dot[0] = T::from_f64(sum / self.targets.len() as f64);
        })
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        let n = self.targets.len() as f64;
        let y_bar = y_bar.as_slice()[0].to_f64() / n;
        vec![need.has(0).then(|| {
            cx.each_probe(r.x[0], |k, out| {
                let y_bar_dot = y_bar_dot.map_or(0.0, |d| d.part(k)[0].to_f64() / n);
                let x_dot = x_dot[0].map(|d| d.part(k));
                for (i, l) in self.each(r.residuals.at(0).as_slice()).enumerate() {
                    let x_dot = x_dot.map_or(0.0, |d| d[i].to_f64());
                    out[i] = T::from_f64(y_bar_dot * l[1] + y_bar * l[2] * x_dot);
                }
            })
        })]
    }
}
