//! Ops of one input that act on each element alone: y = f(x).
//!
//! ```text
//! ẏ = f′ẋ      x̄ = f′ȳ      x̄̇ = f′ȳ̇ + f″ẋȳ
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map};
use std::fmt::Debug;

/// A smooth function of one number.
pub trait Pointwise<T: Element>: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    const NAME: &'static str;

    /// f, f′ and f″ at x. Mark it `#[inline(always)]`: then the parts that a rule does not use cost nothing.
    fn at(x: T) -> [T; 3];
}

/// The op made from a [`Pointwise`] function.
#[derive(Debug)]
pub struct PointwiseOp<F>(pub F);

impl<T: Element, F: Pointwise<T>> Op<T> for PointwiseOp<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(x[0])
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        map::unary(value.make_mut(), x[0].as_slice(), |x| F::at(x)[0]);
        (value, Residuals::new([keep.any().then(|| x[0].clone())]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let mut x_bar = cx.array(r.y);
            let x = r.residuals.at(0).as_slice();
            map::binary(x_bar.make_mut(), x, y_bar.as_slice(), |x, y_bar| F::at(x)[1] * y_bar);
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (x, x_dot) = (r.residuals.at(0).as_slice(), x_dot[0].expect("a tangent"));
        cx.each_probe(r.y, |k, y_dot| {
            map::binary(y_dot, x, x_dot.part(k), |x, x_dot| F::at(x)[1] * x_dot);
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
        let (x, y_bar) = (r.residuals.at(0).as_slice(), y_bar.as_slice());
        vec![need.has(0).then(|| {
            cx.each_probe(r.y, |k, out| match (x_dot[0].map(|d| d.part(k)), y_bar_dot.map(|d| d.part(k))) {
                (Some(x_dot), Some(y_bar_dot)) => {
                    map::zip(out, [x, x_dot, y_bar, y_bar_dot], |[x, x_dot, y_bar, y_bar_dot]| {
                        let [_, first, second] = F::at(x);
                        first * y_bar_dot + second * x_dot * y_bar
                    });
                }
                (Some(x_dot), None) => {
                    map::zip(out, [x, x_dot, y_bar], |[x, x_dot, y_bar]| F::at(x)[2] * x_dot * y_bar);
                }
                (None, Some(y_bar_dot)) => {
                    map::binary(out, x, y_bar_dot, |x, y_bar_dot| F::at(x)[1] * y_bar_dot);
                }
                (None, None) => out.fill(T::ZERO),
            })
        })]
    }
}
