//! Logarithm of the softmax over the last axis: y = x − log Σ eˣ, row by row. With p = e^y and ⟨a, b⟩ the sum over a row of a⊙b:
//!
//! ```text
//! ẏ  = ẋ − ⟨p, ẋ⟩
//! x̄  = ȳ − p⟨1, ȳ⟩
//! x̄̇ = ȳ̇ − p⟨1, ȳ̇⟩ − p⊙(ẋ − ⟨p, ẋ⟩)⟨1, ȳ⟩
//! ```

use crate::ops::{Case, case, normal};
use crate::rules::{RowMap, RowMapOp};
use sph_tensor::Element;
use sph_tensor::kernels::dot::{dot_with, sum};
use sph_tensor::kernels::map::largest;

/// Logarithm of the softmax of rows; made by [`log_softmax`].
#[derive(Debug)]
pub struct LogSoftmax;

/// The logarithm of the softmax of every row along the last axis.
pub fn log_softmax() -> RowMapOp<LogSoftmax> {
    RowMapOp(LogSoftmax)
}

/// ⟨p, v⟩ of a row.
#[inline(always)]
fn weighted<T: Element>(y: &[T], v: &[T]) -> T {
    dot_with(y, v, |y, v| y.exp() * v)
}

impl RowMap for LogSoftmax {
    const NAME: &'static str = "log_softmax";

    #[inline(always)]
    fn value<T: Element>(x: &[T], y: &mut [T]) {
        let max = largest(x);
        let norm = max + dot_with(x, x, |x, _| (x - max).exp()).ln();
        (0..y.len()).for_each(|i| y[i] = x[i] - norm);
    }

    #[inline(always)]
    fn tangent<T: Element>(y: &[T], v: &[T], out: &mut [T]) {
        let mean = weighted(y, v);
        (0..out.len()).for_each(|i| out[i] = v[i] - mean);
    }

    #[inline(always)]
    fn adjoint<T: Element>(y: &[T], v: &[T], out: &mut [T]) {
        let total = sum(v);
        (0..out.len()).for_each(|i| out[i] = v[i] - y[i].exp() * total);
    }

    #[inline(always)]
    fn bend<T: Element>(y: &[T], y_bar: &[T], x_dot: &[T], out: &mut [T]) {
        let (mean, total) = (weighted(y, x_dot), sum(y_bar));
        (0..out.len()).for_each(|i| out[i] += -y[i].exp() * (x_dot[i] - mean) * total);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(log_softmax(), vec![normal(&[2, 3, 5], 0)]), case(log_softmax(), vec![normal(&[3, 37], 1)])]
}
