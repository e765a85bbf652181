//! Maps of rows along the last axis whose derivatives follow from their outputs y: softmax and its logarithm. With J(y) the derivative of a row:
//!
//! ```text
//! ẏ = J(y)ẋ    x̄ = J(y)ᵀȳ    x̄̇ = J(y)ᵀȳ̇ + d/dt J(y)ᵀȳ, ȳ held
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use sph_tensor::kernels::dot::sum;
use sph_tensor::kernels::map::{self, largest};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::fmt::Debug;

/// The maps of one row, of at least one element.
pub trait RowMap: Debug + Send + Sync + 'static {
    /// The op's name in the table and in messages.
    const NAME: &'static str;

    /// y of x.
    fn value<T: Element>(x: &[T], y: &mut [T]);

    /// `out = J(y)v`.
    fn tangent<T: Element>(y: &[T], v: &[T], out: &mut [T]);

    /// `out = J(y)ᵀv`.
    fn adjoint<T: Element>(y: &[T], v: &[T], out: &mut [T]);

    /// Adds the derivative of J(y)ᵀȳ in the direction ẋ, ȳ held.
    fn bend<T: Element>(y: &[T], y_bar: &[T], x_dot: &[T], out: &mut [T]);
}

/// The softmax of a row, in its place.
#[inline(always)]
pub(crate) fn softmax_row<T: Element>(row: &mut [T]) {
    // A NaN anywhere in a row spreads over the row.
    let max = largest(row);
    row.iter_mut().for_each(|v| *v = (*v - max).exp());
    let scale = T::ONE / sum(row);
    row.iter_mut().for_each(|v| *v *= scale);
}

/// The op made from the maps of a [`RowMap`].
#[derive(Debug, Clone, Copy)]
pub struct RowMapOp<M>(pub M);

impl<T: Element, M: RowMap> Op<T> for RowMapOp<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[0].rank() >= 1 && x[0].last() > 0 {
            Ok(x[0])
        } else {
            Err(ShapeError::new(M::NAME, "expects rows of at least one element", x))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        map::rows(
            value.make_mut(),
            [x[0].as_slice()],
            y.last(),
            #[inline(always)]
            |_, [x], y| M::value(x, y),
        );
        (value.clone(), Residuals::new([keep.any().then_some(value)]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let (mut x_bar, y) = (cx.array(r.y), r.residuals.at(0).as_slice());
            map::rows(
                x_bar.make_mut(),
                [y, y_bar.as_slice()],
                r.y.last(),
                #[inline(always)]
                |_, [y, v], out| M::adjoint(y, v, out),
            );
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (y, x_dot) = (r.residuals.at(0).as_slice(), x_dot[0].expect("a tangent"));
        cx.each_probe(r.y, |k, y_dot| {
            map::rows(
                y_dot,
                [y, x_dot.part(k)],
                r.y.last(),
                #[inline(always)]
                |_, [y, v], out| M::tangent(y, v, out),
            );
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
        let (y, y_bar, n) = (r.residuals.at(0).as_slice(), y_bar.as_slice(), r.y.last());
        vec![need.has(0).then(|| {
            cx.each_probe(r.y, |k, out| {
                match y_bar_dot.map(|d| d.part(k)) {
                    Some(d) => map::rows(
                        out,
                        [y, d],
                        n,
                        #[inline(always)]
                        |_, [y, v], out| M::adjoint(y, v, out),
                    ),
                    None => out.fill(T::ZERO),
                }
                let Some(x_dot) = x_dot[0].map(|d| d.part(k)) else { return };
                map::rows(
                    out,
                    [y, y_bar, x_dot],
                    n,
                    #[inline(always)]
                    |_, [y, y_bar, x_dot], out| M::bend(y, y_bar, x_dot, out),
                );
            })
        })]
    }
}
