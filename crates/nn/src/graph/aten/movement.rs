//! Operations that put elements elsewhere: joining, padding, indexing, rolling, repeating.

use super::constants::kind;
use super::{Row, value};
use crate::graph::action::Detach;
use crate::graph::call::{Call, axis, known};
use crate::graph::constant::{Constant, Kind as Numbers};
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::{Size, shown};
use crate::graph::step::Kind;
use crate::graph::view::View;
use sph_autodiff::ops;
use sph_pt2::Argument;

pub(super) const ROWS: &[Row] = &[
    value("aten.cat.default", |low, call| joined(low, call, false)),
    value("aten.concat.default", |low, call| joined(low, call, false)),
    value("aten.stack.default", |low, call| joined(low, call, true)),
    value("aten.clone.default", |low, call| low.value(call, "self")),
    value("aten.detach.default", detach),
    value("aten.detach_.default", detach),
    value("aten.to.dtype", convert),
    value("aten.to.dtype_layout", convert),
    value("aten.to.device", convert),
    value("aten._to_copy.default", convert),
    value("aten.type_as.default", |low, call| {
        call.argument("other");
        low.value(call, "self")
    }),
    value("aten.pad.default", pad),
    value("aten.constant_pad_nd.default", pad),
    value("aten.roll.default", roll),
    value("aten.flip.default", flip),
    value("aten.repeat.default", repeat),
    value("aten.repeat_interleave.self_int", repeat_interleave),
    value("aten.index_select.default", |low, call| {
        let x = low.value(call, "self")?;
        let at = axis(call.required_int("dim")?, x.shape().len())?;
        let index = low.value(call, "index")?;
        let extent = known(x.shape()[at])?;
        let indices = indices(&index, extent)?;
        take(low, &x, at, indices)
    }),
    value("aten.index.Tensor", index),
    value("aten.pixel_shuffle.default", |low, call| {
        let x = low.tensor(call, "self")?;
        let [r] = call.per_axis::<1>("upscale_factor", 1)?;
        let [n, c, h, w] = x.shape[..] else { return Err("expects images".into()) };
        let (c, h, w) = (known(c)?, known(h)?, known(w)?);
        if r == 0 || c % (r * r) != 0 {
            return Err(format!("{c} channels by {r}×{r}"));
        }
        let f = Size::fixed;
        let y = low.reshaped(&x, &[n, f(c / (r * r)), f(r), f(r), f(h), f(w)])?;
        let y = low.permuted(&y, &[0, 1, 4, 2, 5, 3]);
        low.reshaped(&y, &[n, f(c / (r * r)), f(h * r), f(w * r)]).map(Value::Tensor)
    }),
    value("aten.channel_shuffle.default", |low, call| {
        let x = low.tensor(call, "self")?;
        let [groups] = call.per_axis::<1>("groups", 1)?;
        let c = known(*x.shape.get(1).ok_or("expects channels")?)?;
        if groups == 0 || c % groups != 0 {
            return Err(format!("{c} channels in {groups} groups"));
        }
        let order = (0..c).map(|i| (i % groups * (c / groups) + i / groups) as u32).collect();
        low.taken(&x, 1, order).map(Value::Tensor)
    }),
];

fn joined(low: &mut Lowering<'_>, call: &Call<'_>, stacked: bool) -> Result<Value> {
    let mut values = low.list(call, "tensors")?;
    let rank = values.first().map_or(0, |v| v.shape().len());
    let at = axis(call.int("dim", 0)?, rank + usize::from(stacked))?;
    if stacked {
        for value in &mut values {
            let from = value.shape();
            let mut to = from.clone();
            to.insert(at, Size::ONE);
            *value = View::Reshape { from, to }.read(low, value)?;
        }
    }
    if values.iter().all(|v| v.constant().is_some()) {
        return constants(&values, at).map(Value::from);
    }
    let parts = values.iter().map(|v| low.as_tensor(v)).collect::<Result<Vec<_>>>()?;
    low.concatenated(&parts, at).map(Value::Tensor)
}

fn constants(values: &[Value], axis: usize) -> Result<Constant> {
    let parts: Vec<&Constant> = values.iter().filter_map(Value::constant).collect();
    let mut shape = parts[0].shape.clone();
    let fits = |c: &&Constant| {
        c.shape.len() == shape.len() && c.shape.iter().enumerate().all(|(i, n)| i == axis || *n == shape[i])
    };
    if !parts.iter().all(fits) {
        return Err("constants of other shapes".into());
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let row = |c: &Constant| c.shape[axis] * inner;
    let values = (0..outer).flat_map(|o| parts.iter().flat_map(move |c| &c.values[o * row(c)..][..row(c)]));
    let values = values.copied().collect();
    shape[axis] = parts.iter().map(|c| c.shape[axis]).sum();
    let kind = parts.iter().map(|c| c.kind).max().unwrap_or(Numbers::Float);
    Ok(Constant { kind, shape, values })
}

fn detach(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    match low.value(call, "self")? {
        Value::Tensor(x) => {
            let id = low.emit(Kind::Other, vec![x.id], x.memory(), Box::new(Detach));
            Ok(Value::Tensor(Tensor { id, ..x }))
        }
        other => Ok(other),
    }
}

/// Another type of elements. Whatever is computed has the network's own.
fn convert(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let whole = kind(call)?;
    match (low.value(call, "self")?, whole) {
        (Value::Constant(c), Some(Numbers::Bool)) => {
            Ok(c.map(Numbers::Bool, |v| f64::from(u8::from(v != 0.0))).into())
        }
        (Value::Constant(c), Some(Numbers::Int)) => Ok(c.map(Numbers::Int, f64::trunc).into()),
        (Value::Constant(c), Some(kind)) => Ok(c.map(kind, |v| v).into()),
        (Value::Tensor(x), Some(Numbers::Int)) if low.whole(x.id) => Ok(Value::Tensor(x)),
        (Value::Tensor(_), Some(Numbers::Bool | Numbers::Int)) => {
            Err("computed values cannot become whole numbers".into())
        }
        (value, _) => Ok(value),
    }
}

/// Zeros around the entries of an axis.
pub(super) fn zeros_around(
    low: &mut Lowering<'_>,
    x: &Tensor,
    axis: usize,
    before: usize,
    behind: usize,
) -> Result<Tensor> {
    let mut shape = x.shape.clone();
    shape[axis] = Size::fixed(known(shape[axis])?.saturating_add(before).saturating_add(behind));
    let place = x.place(axis);
    low.op(Kind::Moved, &[x], shape, x.order.clone(), move |_| ops::pad(place, before, behind))
}

fn pad(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let x = low.value(call, "self")?;
    let amounts = call.optional_ints("pad")?.unwrap_or_default();
    let mode = call.text("mode", "constant")?;
    let fill = call.float("value", 0.0)?;
    let rank = x.shape().len();
    if amounts.len() % 2 != 0
        || amounts.len() / 2 > rank
        || amounts.iter().any(|a| a.unsigned_abs() > 1 << 20)
    {
        return Err(format!("argument 'pad' cannot be {amounts:?}"));
    }
    let mut x = low.as_tensor(&x)?;
    if mode == "constant" && fill != 0.0 {
        x = low.map(Kind::Scaled, &x, move |_| ops::affine(1.0, -fill))?;
    }
    for (i, pair) in amounts.chunks_exact(2).enumerate() {
        let at = rank - 1 - i;
        let (before, behind) = (pair[0], pair[1]);
        if (before, behind) == (0, 0) {
            continue;
        }
        let extent = known(x.shape[at])? as i64;
        // Below zero entries are cut off.
        let (cut_before, cut_behind) = ((-before).max(0), (-behind).max(0));
        if cut_before + cut_behind > 0 {
            let len = extent - cut_before - cut_behind;
            if len <= 0 {
                return Err(format!("argument 'pad' leaves nothing of {extent} entries"));
            }
            x = low.sliced(&x, at, cut_before as usize, len as usize, 1)?;
        }
        let extent = known(x.shape[at])? as i64;
        let (before, behind) = (before.max(0), behind.max(0));
        if before + behind == 0 {
            continue;
        }
        let place = |i: i64| -> Result<u32> {
            let at = match mode {
                "reflect" if i < 0 => -i,
                "reflect" if i >= extent => 2 * (extent - 1) - i,
                "replicate" => i.clamp(0, extent - 1),
                "circular" => i.rem_euclid(extent),
                _ => i,
            };
            u32::try_from(at).ok().filter(|a| i64::from(*a) < extent).ok_or_else(|| {
                format!("padding '{mode}' of {before} and {behind} does not fit {extent} entries")
            })
        };
        x = match mode {
            "constant" => zeros_around(low, &x, at, before as usize, behind as usize)?,
            "reflect" | "replicate" | "circular" => {
                let indices = (-before..extent + behind).map(place).collect::<Result<Vec<_>>>()?;
                low.taken(&x, at, indices)?
            }
            other => return Err(format!("padding '{other}' is not supported")),
        };
    }
    if mode == "constant" && fill != 0.0 {
        x = low.map(Kind::Scaled, &x, move |_| ops::affine(1.0, fill))?;
    }
    Ok(Value::Tensor(x))
}

/// The entries of an axis with these numbers.
fn take(low: &mut Lowering<'_>, x: &Value, axis: usize, indices: Vec<u32>) -> Result<Value> {
    match x {
        Value::Constant(c) => {
            let indices: Vec<usize> = indices.iter().map(|i| *i as usize).collect();
            let total = c.values.len() / c.shape[axis].max(1) * indices.len();
            crate::graph::constant::count(&[total])?;
            Ok(c.take(axis, &indices).into())
        }
        x => {
            let x = low.as_tensor(x)?;
            low.taken(&x, axis, indices).map(Value::Tensor)
        }
    }
}

fn roll(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let mut x = low.value(call, "self")?;
    let shape = x.shape();
    let (shifts, axes) =
        (call.optional_ints("shifts")?.unwrap_or_default(), call.optional_ints("dims")?.unwrap_or_default());
    if axes.len() != shifts.len() {
        return Err("as many shifts as axes are expected".into());
    }
    for (shift, at) in shifts.iter().zip(axes) {
        let at = axis(at, shape.len())?;
        let extent = known(shape[at])? as i64;
        let shift = shift.rem_euclid(extent);
        if shift != 0 {
            let indices = (0..extent).map(|i| (i - shift).rem_euclid(extent) as u32).collect();
            x = take(low, &x, at, indices)?;
        }
    }
    Ok(x)
}

fn flip(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let mut x = low.value(call, "self")?;
    let shape = x.shape();
    for at in call.optional_ints("dims")?.unwrap_or_default() {
        let at = axis(at, shape.len())?;
        let extent = known(shape[at])? as u32;
        x = take(low, &x, at, (0..extent).rev().collect())?;
    }
    Ok(x)
}

fn repeat(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let x = low.value(call, "self")?;
    let times = low.sizes(call, "repeats")?.into_iter().collect::<Option<Vec<_>>>().ok_or("−1 times")?;
    let from = x.shape();
    let more = times.len().checked_sub(from.len()).ok_or("fewer numbers than axes")?;
    let to: Vec<Size> = vec![Size::ONE; more].into_iter().chain(from.iter().copied()).collect();
    let mut x = View::Reshape { from, to: to.clone() }.read(low, &x)?;
    for (at, n) in times.iter().enumerate() {
        match (to[at], n.known()) {
            (_, Some(1)) => (),
            // One entry, repeated, perhaps for each sample.
            (Size::ONE, _) => {
                let mut wide = x.shape();
                wide[at] = *n;
                x = View::Expand(wide).read(low, &x)?;
            }
            (size, Some(n)) => {
                let extent = known(size)?;
                crate::graph::constant::count(&[extent, n])?;
                x = take(low, &x, at, (0..n).flat_map(|_| 0..extent as u32).collect())?;
            }
            (size, None) => return Err(format!("{size} entries once for each sample")),
        }
    }
    Ok(x)
}

fn repeat_interleave(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let x = low.value(call, "self")?;
    let times = usize::try_from(call.required_int("repeats")?).ok().filter(|t| (1..1 << 20).contains(t));
    let times = times.ok_or("argument 'repeats' cannot be that")?;
    let at = axis(call.required_int("dim")?, x.shape().len())?;
    let extent = known(x.shape()[at])?;
    crate::graph::constant::count(&[extent, times])?;
    take(low, &x, at, (0..extent * times).map(|i| (i / times) as u32).collect())
}

/// Numbers of entries; those below 0 count from behind.
fn indices(index: &Value, extent: usize) -> Result<Vec<u32>> {
    let c = index.constant().ok_or("its indices are computed; only constants are supported")?;
    let place = |v: &f64| {
        let at = if *v < 0.0 { v + extent as f64 } else { *v };
        let whole = at >= 0.0 && at < extent as f64 && at.fract() == 0.0;
        whole.then_some(at as u32).ok_or_else(|| format!("there is no entry {v} among {extent}"))
    };
    c.values.iter().map(place).collect()
}

/// `x[i, j, …]`: constant indices of neighbouring axes, expanded to each other; a mask counts as the numbers of its set entries.
fn index(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let mut x = low.value(call, "self")?;
    let names = match call.argument("indices") {
        Some(Argument::Tensors(names)) => names,
        Some(other) => return Err(Call::unexpected("indices", other)),
        None => return Err("argument 'indices' is missing".into()),
    };
    let mut given: Vec<Option<Constant>> = Vec::new();
    for name in names {
        given.push(match name {
            None => None,
            Some(name) => match low.value_of(name)? {
                Value::Constant(c) => Some((*c).clone()),
                _ => return Err("its indices are computed; only constants are supported".into()),
            },
        });
    }
    if let Some(mask) = given.iter().flatten().find(|c| c.kind == Numbers::Bool) {
        if mask.shape.len() != 1 {
            return Err("a mask of several axes is not supported".into());
        }
        for c in given.iter_mut().flatten().filter(|c| c.kind == Numbers::Bool) {
            let set =
                c.values.iter().enumerate().filter(|(_, v)| **v != 0.0).map(|(i, _)| i as f64).collect();
            *c = Constant::row(Numbers::Int, set);
        }
    }
    let first = given.iter().position(Option::is_some).ok_or("no indices")?;
    let count = given.iter().flatten().count();
    if !given[first..(first + count).min(given.len())].iter().all(Option::is_some)
        || first + count > x.shape().len()
    {
        return Err("indices of axes that are no neighbours are not supported".into());
    }
    let shape = x.shape();
    // The axes that are indexed become one.
    let extents = shape[first..first + count].iter().map(|s| known(*s)).collect::<Result<Vec<_>>>()?;
    let mut flat = Constant::scalar(Numbers::Int, 0.0);
    for (c, extent) in given[first..first + count].iter().flatten().zip(&extents) {
        let at = indices(&Value::from(c.clone()), *extent)?;
        let at = Constant {
            kind: Numbers::Int,
            shape: c.shape.clone(),
            values: at.iter().map(|v| f64::from(*v)).collect(),
        };
        flat = flat.zip(&at, Numbers::Int, |a, b| a * *extent as f64 + b)?;
    }
    let merged = extents.iter().try_fold(1usize, |n, e| n.checked_mul(*e)).ok_or("too many entries")?;
    let to: Vec<Size> = shape[..first]
        .iter()
        .copied()
        .chain([Size::fixed(merged)])
        .chain(shape[first + count..].iter().copied())
        .collect();
    x = View::Reshape { from: shape, to: to.clone() }.read(low, &x)?;
    x = take(low, &x, first, flat.values.iter().map(|v| *v as u32).collect())?;
    let inner = flat.shape.iter().map(|n| Size::fixed(*n));
    let out: Vec<Size> =
        to[..first].iter().copied().chain(inner).chain(to[first + 1..].iter().copied()).collect();
    if out.iter().any(|s| s.times == 0) {
        return Err(format!("nothing is left: {}", shown(&out)));
    }
    let from = x.shape();
    View::Reshape { from, to: out }.read(low, &x)
}
