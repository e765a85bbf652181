//! Ops of one input that act on each element alone: y = f(x).
//!
//! ```text
//! ẏ = f′ẋ      x̄ = f′ȳ      x̄̇ = f′ȳ̇ + f″ẋȳ
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map};
use std::fmt::Debug;

/// A smooth function of one number, or a piecewise smooth one.
pub trait Pointwise<T: Element>: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    const NAME: &'static str;

    /// Whether f″ is anything but zero. Where it is not, tangents of x are not kept for the way back.
    const CURVED: bool = true;

    /// f, f′ and f″ at x. Mark it `#[inline(always)]`: then the parts that a rule does not use cost nothing.
    fn at(&self, x: T) -> [T; 3];
}

/// The op made from a [`Pointwise`] function.
#[derive(Debug)]
pub struct PointwiseOp<F>(pub F);

impl<F> PointwiseOp<F> {
    /// out = f′d
    fn slope_times<T: Element>(&self, out: &mut [T], x: &[T], d: &[T])
    where
        F: Pointwise<T>,
    {
        map::zip(out, [x, d], |[x, d]| self.0.at(x)[1] * d);
    }
}

impl<T: Element, F: Pointwise<T>> Op<T> for PointwiseOp<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(x[0])
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        map::zip(value.make_mut(), [x[0].as_slice()], |[x]| self.0.at(x)[0]);
        (value, Residuals::new([keep.any().then(|| x[0].clone())]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.y);
            self.slope_times(x_bar.make_mut(), r.residuals.at(0).as_slice(), y_bar.as_slice());
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (x, x_dot) = (r.residuals.at(0).as_slice(), x_dot[0].expect("a tangent"));
        cx.each_probe(r.y, |k, y_dot| self.slope_times(y_dot, x, x_dot.part(k)))
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
        let (x, y_bar) = (r.residuals.at(0).as_slice(), y_bar.as_slice());
        vec![need.has(0).then(|| {
            let x_dot = x_dot[0].filter(|_| F::CURVED);
            cx.each_probe(r.y, |k, out| match (x_dot.map(|d| d.part(k)), y_bar_dot.map(|d| d.part(k))) {
                (Some(x_dot), Some(y_bar_dot)) => {
                    map::zip(out, [x, x_dot, y_bar, y_bar_dot], |[x, x_dot, y_bar, y_bar_dot]| {
                        let [_, first, second] = self.0.at(x);
                        first * y_bar_dot + second * x_dot * y_bar
                    });
                }
                (Some(x_dot), None) => {
                    map::zip(out, [x, x_dot, y_bar], |[x, x_dot, y_bar]| self.0.at(x)[2] * x_dot * y_bar);
                }
                (None, Some(y_bar_dot)) => self.slope_times(out, x, y_bar_dot),
                (None, None) => out.fill(T::ZERO),
            })
        })]
    }

    fn tangents_read(&self, need: &InputSet) -> InputSet {
        if F::CURVED { need.clone() } else { InputSet::NONE }
    }
}
