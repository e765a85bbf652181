//! Softmax over the last axis: yᵢ = e^(xᵢ) / Σⱼ e^(xⱼ), row by row.
//!
//! With ⟨a, b⟩ the sum over a row:
//!
//! ```text
//! ẏ  = y⊙(ẋ − ⟨y, ẋ⟩)
//! x̄  = y⊙(ȳ − ⟨y, ȳ⟩)
//! x̄̇ = ẏ⊙(ȳ − ⟨y, ȳ⟩) + y⊙(ȳ̇ − ⟨ẏ, ȳ⟩ − ⟨y, ȳ̇⟩)
//! ```

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::dot::{dot, sum};
use sph_tensor::kernels::map::{self, largest};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Softmax of rows; made by [`softmax`].
#[derive(Debug)]
pub struct Softmax;

/// Softmax of every row along the last axis.
pub fn softmax() -> Softmax {
    Softmax
}

/// The softmax of a row, in its place.
#[inline(always)]
pub(super) fn normalize<T: Element>(row: &mut [T]) {
    // A NaN anywhere in a row spreads over the row.
    let max = largest(row);
    row.iter_mut().for_each(|v| *v = (*v - max).exp());
    let scale = T::ONE / sum(row);
    row.iter_mut().for_each(|v| *v *= scale);
}

/// `out = y⊙(v − ⟨y, v⟩)`, which is both J v and Jᵀ v.
#[inline(always)]
fn project<T: Element>(y: &[T], v: &[T], out: &mut [T]) {
    let mean = dot(y, v);
    (0..out.len()).for_each(|i| out[i] = y[i] * (v[i] - mean));
}

impl<T: Element> Op<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[0].rank() >= 1 && x[0].last() > 0 {
            Ok(x[0])
        } else {
            Err(ShapeError::new("softmax", "expects rows of at least one element", x))
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, keep: Keep) -> (Array<T>, Residuals<T>) {
        let mut value = cx.array(y);
        map::rows(value.make_mut(), [x[0].as_slice()], y.last(), |_, [x], y| {
            y.copy_from_slice(x);
            normalize(y);
        });
        (value.clone(), Residuals::new([keep.any().then_some(value)]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let (mut x_bar, y) = (cx.array(r.y), r.residuals.at(0).as_slice());
            map::rows(x_bar.make_mut(), [y, y_bar.as_slice()], r.y.last(), |_, [y, v], out| {
                project(y, v, out)
            });
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (y, x_dot) = (r.residuals.at(0).as_slice(), x_dot[0].expect("a tangent"));
        cx.each_probe(r.y, |k, y_dot| {
            map::rows(y_dot, [y, x_dot.part(k)], r.y.last(), |_, [y, v], out| project(y, v, out));
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
                    Some(d) => map::rows(out, [y, d], n, |_, [y, v], out| project(y, v, out)),
                    None => out.fill(T::ZERO),
                }
                let Some(x_dot) = x_dot[0].map(|d| d.part(k)) else { return };
                map::rows(out, [y, y_bar, x_dot], n, |_, [y, y_bar, x_dot], out| {
                    let (mean_x_dot, mean_y_bar) = (dot(y, x_dot), dot(y, y_bar));
                    // ⟨ẏ, ȳ⟩ = Σ yᵢ(ẋᵢ − ⟨y, ẋ⟩)ȳᵢ
                    let mut y_dot_y_bar = T::ZERO;
                    (0..y.len()).for_each(|i| y_dot_y_bar += y[i] * (x_dot[i] - mean_x_dot) * y_bar[i]);
                    (0..y.len()).for_each(|i| {
                        out[i] += y[i] * ((x_dot[i] - mean_x_dot) * (y_bar[i] - mean_y_bar) - y_dot_y_bar);
                    });
                });
            })
        })]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(softmax(), vec![normal(&[2, 3, 5], 0)]), case(softmax(), vec![normal(&[3, 37], 1)])]
}
