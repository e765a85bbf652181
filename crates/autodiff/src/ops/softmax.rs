//! Softmax over the last axis: yᵢ = e^(xᵢ) / Σⱼ e^(xⱼ), row by row.
//!
//! With ⟨a, b⟩ the sum over a row:
//!
//! ```text
//! ẏ  = y⊙(ẋ − ⟨y, ẋ⟩)
//! x̄  = y⊙(ȳ − ⟨y, ȳ⟩)
//! x̄̇ = ẏ⊙(ȳ − ⟨y, ȳ⟩) + y⊙(ȳ̇ − ⟨ẏ, ȳ⟩ − ⟨y, ȳ̇⟩)
//! ```

use crate::ops::{Case, case, normal};
use crate::rules::{RowMap, RowMapOp, softmax_row};
use sph_tensor::Element;
use sph_tensor::kernels::dot::dot;

/// Softmax of rows; made by [`softmax`].
#[derive(Debug)]
pub struct Softmax;

/// Softmax of every row along the last axis.
pub fn softmax() -> RowMapOp<Softmax> {
    RowMapOp(Softmax)
}

impl RowMap for Softmax {
    const NAME: &'static str = "softmax";

    #[inline(always)]
    fn value<T: Element>(x: &[T], y: &mut [T]) {
        y.copy_from_slice(x);
        softmax_row(y);
    }

    #[inline(always)]
    fn tangent<T: Element>(y: &[T], v: &[T], out: &mut [T]) {
        let mean = dot(y, v);
        (0..out.len()).for_each(|i| out[i] = y[i] * (v[i] - mean));
    }

    #[inline(always)]
    fn adjoint<T: Element>(y: &[T], v: &[T], out: &mut [T]) {
        Self::tangent(y, v, out);
    }

    #[inline(always)]
    fn bend<T: Element>(y: &[T], y_bar: &[T], x_dot: &[T], out: &mut [T]) {
        let (mean_x_dot, mean_y_bar) = (dot(y, x_dot), dot(y, y_bar));
        // ⟨ẏ, ȳ⟩ = Σ yᵢ(ẋᵢ − ⟨y, ẋ⟩)ȳᵢ
        let mut y_dot_y_bar = T::ZERO;
        (0..y.len()).for_each(|i| y_dot_y_bar += y[i] * (x_dot[i] - mean_x_dot) * y_bar[i]);
        (0..y.len()).for_each(|i| {
            out[i] += y[i] * ((x_dot[i] - mean_x_dot) * (y_bar[i] - mean_y_bar) - y_dot_y_bar);
        });
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(softmax(), vec![normal(&[2, 3, 5], 0)]), case(softmax(), vec![normal(&[3, 37], 1)])]
}
