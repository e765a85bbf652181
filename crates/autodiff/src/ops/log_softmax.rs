//! Logarithm of the softmax over the last axis: y = x − log Σ eˣ, row by row. With p = e^y and ⟨a, b⟩ the sum over a row of a⊙b:
//!
//! ```text
//! ẏ  = ẋ − ⟨p, ẋ⟩
//! x̄  = ȳ − p⟨1, ȳ⟩
//! x̄̇ = ȳ̇ − p⟨1, ȳ̇⟩ − p⊙(ẋ − ⟨p, ẋ⟩)⟨1, ȳ⟩
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::dot::{dot_with, sum};
use sph_tensor::kernels::map::{self, largest};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Logarithm of the softmax of rows; made by [`log_softmax`].
#[derive(Debug)]
pub struct LogSoftmax;

/// The logarithm of the softmax of every row along the last axis.
pub fn log_softmax() -> LogSoftmax {
    LogSoftmax
}

/// ⟨p, v⟩ of a row.
#[inline(always)]
fn weighted<T: Element>(y: &[T], v: &[T]) -> T {
    dot_with(y, v, |y, v| y.exp() * v)
}

/// `out = v − p⟨1, v⟩`.
#[inline(always)]
fn adjoint<T: Element>(y: &[T], v: &[T], out: &mut [T]) {
    let total = sum(v);
    (0..out.len()).for_each(|i| out[i] = v[i] - y[i].exp() * total);
}

impl<T: Element> Op<T> for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[0].rank() >= 1 && x[0].last() > 0 {
            Ok(x[0])
        } else {
            Err(ShapeError::new("log_softmax", "expects rows of at least one element", x))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        map::rows(
            value.make_mut(),
            [x[0].as_slice()],
            y.last(),
            #[inline(always)]
            |_, [x], y| {
                let max = largest(x);
                let norm = max + dot_with(x, x, |x, _| (x - max).exp()).ln();
                (0..y.len()).for_each(|i| y[i] = x[i] - norm);
            },
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
                |_, [y, v], out| adjoint(y, v, out),
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
                |_, [y, v], out| {
                    let mean = weighted(y, v);
                    (0..out.len()).for_each(|i| out[i] = v[i] - mean);
                },
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
                        |_, [y, v], out| adjoint(y, v, out),
                    ),
                    None => out.fill(T::ZERO),
                }
                let Some(x_dot) = x_dot[0].map(|d| d.part(k)) else { return };
                map::rows(
                    out,
                    [y, y_bar, x_dot],
                    n,
                    #[inline(always)]
                    |_, [y, y_bar, x_dot], out| {
                        let (mean, total) = (weighted(y, x_dot), sum(y_bar));
                        (0..out.len()).for_each(|i| out[i] += -y[i].exp() * (x_dot[i] - mean) * total);
                    },
                );
            })
        })]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(log_softmax(), vec![normal(&[2, 3, 5], 0)]), case(log_softmax(), vec![normal(&[3, 37], 1)])]
}
