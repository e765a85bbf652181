//! Sums, means and softmax over axes.

use super::{Row, value};
use crate::graph::call::{Call, axis};
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::Size;
use crate::graph::step::Kind;
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[
    value("aten.mean.default", |low, call| reduced(low, call, mean)),
    value("aten.mean.dim", |low, call| reduced(low, call, mean)),
    value("aten.sum.default", |low, call| reduced(low, call, sum)),
    value("aten.sum.dim_IntList", |low, call| reduced(low, call, sum)),
    value("aten.var.correction", |low, call| {
        let correction = call.float("correction", 1.0)?;
        reduced(low, call, |low, x, axes| variance(low, x, axes, correction))
    }),
    value("aten.var.dim", |low, call| {
        let correction = f64::from(u8::from(call.flag("unbiased", true)?));
        reduced(low, call, |low, x, axes| variance(low, x, axes, correction))
    }),
    value("aten.std.correction", |low, call| {
        let correction = call.float("correction", 1.0)?;
        reduced(low, call, |low, x, axes| {
            let y = variance(low, x, axes, correction)?;
            low.map(Kind::Pointwise, &y, |_| ops::sqrt())
        })
    }),
    value("aten.linalg_vector_norm.default", |low, call| {
        let order = call.float("ord", 2.0)?;
        if order != 2.0 {
            return Err(format!("norm of order {order}; 2 is supported"));
        }
        reduced(low, call, norm)
    }),
    value("aten.norm.ScalarOpt_dim", |low, call| {
        let order = call.float("p", 2.0)?;
        if order != 2.0 {
            return Err(format!("norm of order {order}; 2 is supported"));
        }
        reduced(low, call, norm)
    }),
    value("aten.amax.default", |low, call| {
        reduced(low, call, |low, x, axes| {
            let (shape, places) = target(x, axes);
            low.op(Kind::Reduction, &[x], shape, x.order.clone(), move |_| ops::amax(&places))
        })
    }),
    value("aten.softmax.int", |low, call| {
        along_last(low, call, |low, x| low.map(Kind::Softmax, x, |_| ops::softmax()))
    }),
    value("aten._softmax.default", |low, call| {
        call.argument("half_to_float");
        along_last(low, call, |low, x| low.map(Kind::Softmax, x, |_| ops::softmax()))
    }),
    value("aten.log_softmax.int", |low, call| {
        along_last(low, call, |low, x| low.map(Kind::Softmax, x, |_| ops::log_softmax()))
    }),
    value("aten._log_softmax.default", |low, call| {
        call.argument("half_to_float");
        along_last(low, call, |low, x| low.map(Kind::Softmax, x, |_| ops::log_softmax()))
    }),
];

/// A reduction over the axes of the call; they go away unless `keepdim`.
fn reduced(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    f: impl Fn(&mut Lowering<'_>, &Tensor, &[usize]) -> Result<Tensor>,
) -> Result<Value> {
    let name = if call.argument("self").is_some() { "self" } else { "input" };
    let x = low.tensor(call, name)?;
    let keep = call.flag("keepdim", false)?;
    call.argument("dtype");
    let rank = x.shape.len();
    let axes = match call.optional_ints("dim")? {
        Some(axes) if !axes.is_empty() => axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?,
        _ => (0..rank).collect(),
    };
    if axes.is_empty() {
        return Ok(Value::Tensor(x));
    }
    let y = f(low, &x, &axes)?;
    if keep {
        return Ok(Value::Tensor(y));
    }
    let rest: Vec<Size> = (0..rank).filter(|a| !axes.contains(a)).map(|a| x.shape[a]).collect();
    low.reshaped(&y, &rest).map(Value::Tensor)
}

/// The extents of a value with these axes reduced to one entry, and where the axes lie in memory.
fn target(x: &Tensor, axes: &[usize]) -> (Vec<Size>, Vec<usize>) {
    let shape = (0..x.shape.len()).map(|a| if axes.contains(&a) { Size::ONE } else { x.shape[a] }).collect();
    let mut places: Vec<usize> = axes.iter().map(|a| x.place(*a)).collect();
    places.sort_unstable();
    (shape, places)
}

/// Means, the axes kept with one entry.
pub(super) fn mean(low: &mut Lowering<'_>, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let (shape, places) = target(x, axes);
    // Over the pixels of images: the op that this program's own models have, and so the same numbers to the last bit.
    if x.order == [0, 2, 3, 1] && places == [1, 2] {
        let rows =
            low.op(Kind::Reduction, &[x], shape[..2].to_vec(), vec![0, 1], |_| ops::global_avg_pool())?;
        return low.reshaped(&rows, &shape);
    }
    low.op(Kind::Reduction, &[x], shape, x.order.clone(), move |_| ops::mean(&places))
}

/// Sums, the axes kept with one entry.
pub(super) fn sum(low: &mut Lowering<'_>, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let (shape, places) = target(x, axes);
    low.op(Kind::Reduction, &[x], shape, x.order.clone(), move |_| ops::sum(&places))
}

fn variance(low: &mut Lowering<'_>, x: &Tensor, axes: &[usize], correction: f64) -> Result<Tensor> {
    let (shape, places) = target(x, axes);
    low.op(Kind::Reduction, &[x], shape, x.order.clone(), move |_| ops::variance(&places, correction))
}

fn norm(low: &mut Lowering<'_>, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let square = low.pair(Kind::Multiply, x, x, |_| ops::mul())?;
    let sum = sum(low, &square, axes)?;
    low.map(Kind::Pointwise, &sum, |_| ops::sqrt())
}

/// A map along an axis, which is made the last in memory.
fn along_last(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    f: impl Fn(&mut Lowering<'_>, &Tensor) -> Result<Tensor>,
) -> Result<Value> {
    let x = low.tensor(call, "self")?;
    call.argument("dtype");
    let at = axis(call.required_int("dim")?, x.shape.len())?;
    let x = low.last_in_memory(&x, at)?;
    low.note_scores(&x);
    f(low, &x).map(Value::Tensor)
}
