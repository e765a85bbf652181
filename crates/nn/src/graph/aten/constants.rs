//! Arrays that the graph makes: positions, masks, zeros to be written into.

use super::{Row, value};
use crate::graph::action::{Compare, Masked};
use crate::graph::call::{Call, axis, fixed, known};
use crate::graph::constant::{Constant, Kind};
use crate::graph::error::Result;
use crate::graph::layout::{Tensor, joined};
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::Size;
use crate::graph::step::Kind as Step;
use sph_autodiff::ops;
use sph_pt2::Argument;
use sph_tensor::Shape;
use std::sync::Arc;

pub(super) const ROWS: &[Row] = &[
    value("aten.arange.default", arange),
    value("aten.arange.start", arange),
    value("aten.arange.start_step", arange),
    value("aten.linspace.default", linspace),
    value("aten.zeros.default", |low, call| filled(low, call, 0.0)),
    value("aten.ones.default", |low, call| filled(low, call, 1.0)),
    value("aten.empty.memory_format", |low, call| filled(low, call, 0.0)),
    value("aten.new_zeros.default", |low, call| filled(low, call, 0.0)),
    value("aten.new_ones.default", |low, call| filled(low, call, 1.0)),
    value("aten.new_empty.default", |low, call| filled(low, call, 0.0)),
    value("aten.full.default", full),
    value("aten.new_full.default", full),
    value("aten.zeros_like.default", |low, call| like(low, call, Some(0.0))),
    value("aten.ones_like.default", |low, call| like(low, call, Some(1.0))),
    value("aten.empty_like.default", |low, call| like(low, call, Some(0.0))),
    value("aten.full_like.default", |low, call| like(low, call, None)),
    value("aten.scalar_tensor.default", |_, call| {
        let kind = kind(call)?.unwrap_or(Kind::Float);
        Ok(Constant::scalar(kind, call.optional_float("s")?.ok_or("argument 's' is missing")?).into())
    }),
    value("aten.eye.default", |_, call| eye(call, "n", "n")),
    value("aten.eye.m", |_, call| eye(call, "n", "m")),
    value("aten.tril.default", |low, call| {
        triangle(low, call, |row, column, diagonal| column <= row + diagonal)
    }),
    value("aten.triu.default", |low, call| {
        triangle(low, call, |row, column, diagonal| column >= row + diagonal)
    }),
    value("aten.cumsum.default", cumsum),
    value("aten.eq.Scalar", |low, call| compare(low, call, |a, b| a == b)),
    value("aten.eq.Tensor", |low, call| compare(low, call, |a, b| a == b)),
    value("aten.ne.Scalar", |low, call| compare(low, call, |a, b| a != b)),
    value("aten.ne.Tensor", |low, call| compare(low, call, |a, b| a != b)),
    value("aten.lt.Scalar", |low, call| compare(low, call, |a, b| a < b)),
    value("aten.lt.Tensor", |low, call| compare(low, call, |a, b| a < b)),
    value("aten.le.Scalar", |low, call| compare(low, call, |a, b| a <= b)),
    value("aten.le.Tensor", |low, call| compare(low, call, |a, b| a <= b)),
    value("aten.gt.Scalar", |low, call| compare(low, call, |a, b| a > b)),
    value("aten.gt.Tensor", |low, call| compare(low, call, |a, b| a > b)),
    value("aten.ge.Scalar", |low, call| compare(low, call, |a, b| a >= b)),
    value("aten.ge.Tensor", |low, call| compare(low, call, |a, b| a >= b)),
    value("aten.logical_and.default", |low, call| compare(low, call, |a, b| a != 0.0 && b != 0.0)),
    value("aten.logical_or.default", |low, call| compare(low, call, |a, b| a != 0.0 || b != 0.0)),
    value("aten.bitwise_and.Tensor", |low, call| compare(low, call, |a, b| a != 0.0 && b != 0.0)),
    value("aten.bitwise_or.Tensor", |low, call| compare(low, call, |a, b| a != 0.0 || b != 0.0)),
    value("aten.logical_not.default", inverted),
    value("aten.bitwise_not.default", inverted),
    value("aten.masked_fill.Scalar", masked_fill),
    value("aten.masked_fill.Tensor", masked_fill),
    value("aten.where.self", choose),
    value("aten.where.ScalarOther", choose),
    value("aten.where.ScalarSelf", choose),
    value("aten.fill.Scalar", |low, call| fill(low, call, "value")),
    value("aten.fill.Tensor", |low, call| fill(low, call, "value")),
    value("aten.zero.default", |low, call| {
        let shape = fixed(&low.value(call, "self")?.shape())?;
        Ok(Constant::full(Kind::Float, &shape, 0.0)?.into())
    }),
    value("aten.copy.default", |low, call| {
        let shape = low.value(call, "self")?.shape();
        let source = low.value(call, "src")?;
        crate::graph::view::View::Expand(shape).read(low, &source)
    }),
];

/// The kind of numbers that the argument `dtype` asks for.
pub(super) fn kind(call: &Call<'_>) -> Result<Option<Kind>> {
    match call.argument("dtype") {
        None => Ok(None),
        Some(Argument::Dtype(dtype)) => {
            Kind::of(*dtype).map(Some).ok_or_else(|| format!("argument 'dtype' cannot be {dtype:?}"))
        }
        Some(other) => Err(Call::unexpected("dtype", other)),
    }
}

/// A constant among the arguments.
fn constant(low: &mut Lowering<'_>, call: &Call<'_>, name: &'static str) -> Result<Constant> {
    match low.value(call, name)? {
        Value::Constant(c) => Ok((*c).clone()),
        Value::Size(size) => Ok(Constant::scalar(Kind::Int, known(size)? as f64)),
        Value::Tensor(_) => Err(format!("argument '{name}' is computed; only constants are supported")),
    }
}

/// A constant of zeros and ones among the arguments.
fn mask(low: &mut Lowering<'_>, call: &Call<'_>, name: &'static str) -> Result<Constant> {
    Ok(constant(low, call, name)?.map(Kind::Bool, |v| f64::from(u8::from(v != 0.0))))
}

fn arange(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let mut number = |name: &'static str, default: f64| match call.argument(name) {
        None => Ok((Kind::Int, default)),
        Some(_) => {
            let c = constant(low, call, name)?;
            c.single().map(|v| (c.kind, v)).ok_or_else(|| format!("argument '{name}' is no number"))
        }
    };
    let ((a, start), (b, end), (c, step)) =
        (number("start", 0.0)?, number("end", 0.0)?, number("step", 1.0)?);
    let count = ((end - start) / step).ceil();
    if !(0.0..1e7).contains(&count) {
        return Err(format!("from {start} to {end} by {step}"));
    }
    let values = (0..count as usize).map(|i| start + step * i as f64).collect();
    let own = a.max(b).max(c);
    Ok(Constant::row(kind(call)?.unwrap_or(own), values).into())
}

fn linspace(_low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (start, end) = (call.float("start", 0.0)?, call.float("end", 0.0)?);
    let steps = usize::try_from(call.required_int("steps")?).ok().filter(|n| (1..1 << 20).contains(n));
    let steps = steps.ok_or("a number of steps that cannot be")?;
    let step = (end - start) / (steps.max(2) - 1) as f64;
    let values = (0..steps).map(|i| if i + 1 == steps && steps > 1 { end } else { start + step * i as f64 });
    Ok(Constant::row(kind(call)?.unwrap_or(Kind::Float), values.collect()).into())
}

/// An array of one value: a constant, or a value on the tape where its extents depend on the batch size.
fn of(low: &mut Lowering<'_>, kind: Kind, shape: &[Size], value: f64) -> Result<Value> {
    match fixed(shape) {
        Ok(shape) => Ok(Constant::full(kind, &shape, value)?.into()),
        Err(_) => {
            let one = low.materialized(&Constant::full(kind, &vec![1; shape.len()], value)?)?;
            low.expanded(&one, shape).map(Value::Tensor)
        }
    }
}

fn filled(low: &mut Lowering<'_>, call: &Call<'_>, v: f64) -> Result<Value> {
    // The first argument of `new_zeros` tells the type of elements alone.
    call.argument("self");
    let kind = kind(call)?.unwrap_or(Kind::Float);
    let shape = low.sizes(call, "size")?.into_iter().collect::<Option<Vec<_>>>().ok_or("an extent of −1")?;
    of(low, kind, &shape, v)
}

fn full(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    call.argument("self");
    let value = constant(low, call, "fill_value")?;
    let number = value.single().ok_or("argument 'fill_value' is no number")?;
    let kind = kind(call)?.unwrap_or(value.kind);
    let shape = low.sizes(call, "size")?.into_iter().collect::<Option<Vec<_>>>().ok_or("an extent of −1")?;
    of(low, kind, &shape, number)
}

fn like(low: &mut Lowering<'_>, call: &Call<'_>, v: Option<f64>) -> Result<Value> {
    let given = low.value(call, "self")?;
    let own = given.constant().map_or(Kind::Float, |c| c.kind);
    let kind = kind(call)?.unwrap_or(own);
    let v = match v {
        Some(v) => v,
        None => call.optional_float("fill_value")?.ok_or("argument 'fill_value' is missing")?,
    };
    of(low, kind, &given.shape(), v)
}

fn eye(call: &Call<'_>, rows: &'static str, columns: &'static str) -> Result<Value> {
    let extent =
        |name| usize::try_from(call.required_int(name)?).map_err(|_| format!("argument '{name}' is below 0"));
    let (rows, columns) = (extent(rows)?, extent(columns)?);
    let mut c = Constant::full(kind(call)?.unwrap_or(Kind::Float), &[rows, columns], 0.0)?;
    (0..rows.min(columns)).for_each(|i| c.values[i * columns + i] = 1.0);
    Ok(c.into())
}

/// A constant matrix with zeros where an entry is not kept.
fn triangle(low: &mut Lowering<'_>, call: &Call<'_>, keep: fn(i64, i64, i64) -> bool) -> Result<Value> {
    let mut c = constant(low, call, "self")?;
    let diagonal = call.int("diagonal", 0)?;
    let [.., rows, columns] = c.shape[..] else { return Err("expects a matrix".into()) };
    for (i, v) in c.values.iter_mut().enumerate() {
        let (row, column) = ((i / columns.max(1)) % rows.max(1), i % columns.max(1));
        if !keep(row as i64, column as i64, diagonal) {
            *v = 0.0;
        }
    }
    Ok(c.into())
}

fn cumsum(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let mut c = constant(low, call, "self")?;
    let at = axis(call.required_int("dim")?, c.shape.len())?;
    c.kind = kind(call)?.unwrap_or(c.kind.max(Kind::Int));
    let inner: usize = c.shape[at + 1..].iter().product();
    let extent = c.shape[at];
    for i in 0..c.values.len() {
        if !(i / inner).is_multiple_of(extent) {
            c.values[i] += c.values[i - inner];
        }
    }
    Ok(c.into())
}

/// A mask of two values.
fn compare(low: &mut Lowering<'_>, call: &Call<'_>, f: fn(f64, f64) -> bool) -> Result<Value> {
    match (low.value(call, "self")?, low.value(call, "other")?) {
        (Value::Constant(a), Value::Constant(b)) => {
            Ok(a.zip(&b, Kind::Bool, |a, b| f64::from(u8::from(f(a, b))))?.into())
        }
        (a, b) => {
            let (a, b) = (low.as_tensor(&a)?, low.as_tensor(&b)?);
            let shape = joined(&a.shape, &b.shape)?;
            let (a, b) = (low.expanded(&a, &shape)?, low.expanded(&b, &shape)?);
            let b = low.with_order(&b, &a.order)?;
            let id = low.emit(Step::Source, vec![a.id, b.id], a.memory(), Box::new(Compare { holds: f }));
            Ok(Value::Tensor(Tensor { id, ..a }))
        }
    }
}

/// 1 where a mask is 0.
fn inverted(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    match low.value(call, "self")? {
        Value::Constant(c) => Ok(c.map(Kind::Bool, |v| f64::from(u8::from(v == 0.0))).into()),
        x => {
            let x = low.as_tensor(&x)?;
            low.map(Step::Scaled, &x, |_| ops::affine(-1.0, 1.0)).map(Value::Tensor)
        }
    }
}

fn masked_fill(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let mask = low.value(call, "mask")?;
    let value = constant(low, call, "value")?.single().ok_or("argument 'value' is no number")?;
    match (low.value(call, "self")?, &mask) {
        (Value::Constant(c), Value::Constant(mask)) => {
            let pairs = c.zip(mask, c.kind.max(Kind::Int), |v, m| if m != 0.0 { value } else { v })?;
            Ok(Constant { kind: if value.fract() == 0.0 { c.kind } else { Kind::Float }, ..pairs }.into())
        }
        (x, _) => {
            let x = low.as_tensor(&x)?;
            replaced(low, &x, &mask, value, false).map(Value::Tensor)
        }
    }
}

/// `value` where the mask is set (or is not, when `inverted`), elsewhere x.
fn replaced(low: &mut Lowering<'_>, x: &Tensor, mask: &Value, value: f64, inverted: bool) -> Result<Tensor> {
    let mask = match mask {
        Value::Constant(mask) => mask,
        computed => {
            let mask = low.as_tensor(computed)?;
            let shape = joined(&x.shape, &mask.shape)?;
            let (x, mask) = (low.expanded(x, &shape)?, low.expanded(&mask, &shape)?);
            let mask = low.with_order(&mask, &x.order)?;
            let action = Masked { value, inverted };
            let id = low.emit(filling(value), vec![x.id, mask.id], x.memory(), Box::new(action));
            return Ok(Tensor { id, ..x });
        }
    };
    let sizes: Vec<Size> = mask.shape.iter().map(|n| Size::fixed(*n)).collect();
    let shape = joined(&x.shape, &sizes)?;
    let x = low.expanded(x, &shape)?;
    // The mask lies as x does.
    let missing = shape.len() - mask.shape.len();
    let full: Vec<usize> = vec![1; missing].into_iter().chain(mask.shape.iter().copied()).collect();
    let mask = mask.reshape(&full).permute(&x.order);
    let bits: Arc<[bool]> = mask.values.iter().map(|v| (*v != 0.0) != inverted).collect();
    let dims = Shape::new(&mask.shape);
    low.map(filling(value), &x, move |_| ops::masked_fill(bits.clone(), dims, value))
}

/// Scores that −∞ takes out of a softmax leave it as it is for the others.
fn filling(value: f64) -> Step {
    if value == f64::NEG_INFINITY { Step::Scaled } else { Step::Pointwise }
}

fn choose(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let condition = low.value(call, "condition")?;
    let (a, b) = (low.value(call, "self")?, low.value(call, "other")?);
    match (&a, &b) {
        (Value::Constant(a), Value::Constant(b)) if condition.constant().is_some() => {
            let mask = mask(low, call, "condition")?;
            let kind = a.kind.max(b.kind);
            let chosen = mask.zip(a, kind, |m, a| if m != 0.0 { a } else { f64::NAN })?;
            let shape = crate::graph::constant::joined(&chosen.shape, &b.shape)?;
            let (mask, a, b) = (mask.expand(&shape)?, a.expand(&shape)?, b.expand(&shape)?);
            let values =
                (0..mask.values.len()).map(|i| if mask.values[i] != 0.0 { a.values[i] } else { b.values[i] });
            Ok(Constant { kind, shape, values: values.collect() }.into())
        }
        // Where one side is a single number the other is kept but there.
        (Value::Tensor(x), Value::Constant(c)) if c.single().is_some() => {
            replaced(low, x, &condition, c.values[0], true).map(Value::Tensor)
        }
        (Value::Constant(c), Value::Tensor(x)) if c.single().is_some() => {
            replaced(low, x, &condition, c.values[0], false).map(Value::Tensor)
        }
        _ => {
            let (a, b) = (low.as_tensor(&a)?, low.as_tensor(&b)?);
            let (a, b) =
                (replaced(low, &a, &condition, 0.0, true)?, replaced(low, &b, &condition, 0.0, false)?);
            low.pair(Step::Add, &a, &b, |_| ops::add()).map(Value::Tensor)
        }
    }
}

fn fill(low: &mut Lowering<'_>, call: &Call<'_>, name: &'static str) -> Result<Value> {
    let old = low.value(call, "self")?;
    let value = constant(low, call, name)?;
    let number = value.single().ok_or_else(|| format!("argument '{name}' is no number"))?;
    of(low, old.constant().map_or(Kind::Float, |c| c.kind).max(value.kind), &old.shape(), number)
}
