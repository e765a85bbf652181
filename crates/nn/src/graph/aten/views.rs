//! Operations that look at their first argument's memory in another way.

use super::{Row, views, views_or_copy};
use crate::graph::call::{Call, axis, known, stretch};
use crate::graph::error::Result;
use crate::graph::lowering::Lowering;
use crate::graph::size::{Size, elements, shown};
use crate::graph::view::View;

type Views = Result<Vec<Vec<View>>>;

pub(super) const ROWS: &[Row] = &[
    views("aten.view.default", |low, call, shape| to_sizes(low, call, "size", shape)),
    views_or_copy("aten.reshape.default", |low, call, shape| to_sizes(low, call, "shape", shape)),
    views("aten._unsafe_view.default", |low, call, shape| to_sizes(low, call, "size", shape)),
    views("aten.view_as.default", like),
    views_or_copy("aten.reshape_as.default", like),
    views_or_copy("aten.flatten.using_ints", flatten),
    views("aten.unflatten.int", unflatten),
    views("aten.squeeze.default", |_, _, shape| {
        one(reshape(shape, shape.iter().copied().filter(|s| *s != Size::ONE).collect()))
    }),
    views("aten.squeeze.dim", squeeze),
    views("aten.squeeze.dims", squeeze),
    views("aten.unsqueeze.default", |_, call, shape| {
        let at = axis(call.required_int("dim")?, shape.len() + 1)?;
        let mut to = shape.to_vec();
        to.insert(at, Size::ONE);
        one(reshape(shape, to))
    }),
    views("aten.permute.default", |_, call, shape| {
        let axes = call.optional_ints("dims")?.unwrap_or_default();
        one(permute(&axes, shape.len())?)
    }),
    views("aten.transpose.int", |_, call, shape| {
        let (a, b) =
            (axis(call.required_int("dim0")?, shape.len())?, axis(call.required_int("dim1")?, shape.len())?);
        one(swap(shape.len(), a, b))
    }),
    views("aten.swapaxes.default", |_, call, shape| {
        let (a, b) = (
            axis(call.required_int("axis0")?, shape.len())?,
            axis(call.required_int("axis1")?, shape.len())?,
        );
        one(swap(shape.len(), a, b))
    }),
    views("aten.t.default", |_, _, shape| one(if shape.len() == 2 { swap(2, 0, 1) } else { Vec::new() })),
    views("aten.numpy_T.default", |_, _, shape| one(vec![View::Permute((0..shape.len()).rev().collect())])),
    views("aten.mT.default", |_, _, shape| {
        let last = shape.len().checked_sub(2).ok_or("expects a matrix")?;
        one(swap(shape.len(), last, last + 1))
    }),
    views("aten.movedim.int", |_, call, shape| {
        let from = axis(call.required_int("source")?, shape.len())?;
        let to = axis(call.required_int("destination")?, shape.len())?;
        let mut axes: Vec<usize> = (0..shape.len()).filter(|a| *a != from).collect();
        axes.insert(to, from);
        one(vec![View::Permute(axes)])
    }),
    views("aten.slice.Tensor", |_, call, shape| {
        let at = axis(call.int("dim", 0)?, shape.len())?;
        let end = |name| call.optional_ints(name).map(|v| v.and_then(|v| v.first().copied()));
        let (start, end, step) = (end("start")?, end("end")?, call.int("step", 1)?);
        let step = usize::try_from(step).ok().filter(|s| *s > 0).ok_or("a step below 1")?;
        if shape[at].batched && start.unwrap_or(0) == 0 && end.unwrap_or(i64::MAX) == i64::MAX && step == 1 {
            return one(Vec::new());
        }
        let (start, len) = stretch(known(shape[at])?, start, end, step);
        if len == 0 {
            return Err("an empty slice".into());
        }
        one(vec![View::Slice { axis: at, start, len, step }])
    }),
    views("aten.narrow.default", |_, call, shape| {
        let at = axis(call.required_int("dim")?, shape.len())?;
        let (start, len) = (call.required_int("start")?, call.required_int("length")?);
        let (start, len) = stretch(known(shape[at])?, Some(start), Some(start.saturating_add(len)), 1);
        one(vec![View::Slice { axis: at, start, len, step: 1 }])
    }),
    views("aten.select.int", |_, call, shape| {
        let at = axis(call.required_int("dim")?, shape.len())?;
        let index = axis(call.required_int("index")?, known(shape[at])?)?;
        one(View::select(shape, at, index))
    }),
    views("aten.split.Tensor", |_, call, shape| {
        let size = usize::try_from(call.required_int("split_size")?).unwrap_or(0);
        let at = axis(call.int("dim", 0)?, shape.len())?;
        parts(at, known(shape[at])?, size)
    }),
    views("aten.split.sizes", split_sizes),
    views("aten.split_with_sizes.default", split_sizes),
    views("aten.chunk.default", |_, call, shape| {
        let count =
            usize::try_from(call.required_int("chunks")?).ok().filter(|c| *c > 0).ok_or("no chunks")?;
        let at = axis(call.int("dim", 0)?, shape.len())?;
        let extent = known(shape[at])?;
        parts(at, extent, extent.div_ceil(count))
    }),
    views("aten.unbind.int", |_, call, shape| {
        let at = axis(call.int("dim", 0)?, shape.len())?;
        let extent = known(shape[at])?;
        if extent > 4096 {
            return Err(format!("into {extent} values"));
        }
        Ok((0..extent).map(|i| View::select(shape, at, i)).collect())
    }),
    views("aten.expand.default", |low, call, shape| {
        let given = low.sizes(call, "size")?;
        let more = given.len().checked_sub(shape.len()).ok_or("to fewer axes")?;
        let keep = |(i, size): (usize, &Option<Size>)| match size {
            Some(size) => Ok(*size),
            None => i.checked_sub(more).map(|i| shape[i]).ok_or("an extent of −1 in a new axis".to_string()),
        };
        let to = given.iter().enumerate().map(keep).collect::<Result<_>>()?;
        one(vec![View::Expand(to)])
    }),
    views("aten.expand_as.default", |low, call, _| {
        let to = low.value(call, "other")?.shape();
        one(vec![View::Expand(to)])
    }),
    views("aten.alias.default", |_, _, _| one(Vec::new())),
    views_or_copy("aten.contiguous.default", |_, _, _| one(Vec::new())),
];

fn one(view: Vec<View>) -> Views {
    Ok(vec![view])
}

fn reshape(from: &[Size], to: Vec<Size>) -> Vec<View> {
    if from == to { Vec::new() } else { vec![View::Reshape { from: from.to_vec(), to }] }
}

fn swap(rank: usize, a: usize, b: usize) -> Vec<View> {
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(a, b);
    vec![View::Permute(axes)]
}

fn permute(axes: &[i64], rank: usize) -> Result<Vec<View>> {
    let axes = axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    match sorted.iter().copied().eq(0..rank) {
        true => Ok(vec![View::Permute(axes)]),
        false => Err(format!("{axes:?} is not an order of {rank} axes")),
    }
}

/// The extents given, with the one that is left open filled in.
fn to_sizes(low: &mut Lowering<'_>, call: &Call<'_>, name: &'static str, shape: &[Size]) -> Views {
    let given = low.sizes(call, name)?;
    one(reshape(shape, filled(&given, shape)?))
}

fn filled(given: &[Option<Size>], shape: &[Size]) -> Result<Vec<Size>> {
    let fixed: Vec<Size> = given.iter().flatten().copied().collect();
    let total = elements(shape).ok_or("too many elements")?;
    let known = elements(&fixed).ok_or("too many elements")?;
    let open = given.len() - fixed.len();
    let rest = match open {
        0 => None,
        1 if known > 0 && total % known == 0 => Some(Size::of_symbolic(total / known)),
        _ => None,
    };
    let wrong = || {
        format!(
            "{} does not have {} entries",
            shown(shape),
            given.iter().map(|g| g.map_or("?".into(), |s| s.to_string())).collect::<Vec<_>>().join("×")
        )
    };
    match (open, rest) {
        (0, _) if known == total => Ok(fixed),
        (1, Some(Some(rest))) => Ok(given.iter().map(|s| s.unwrap_or(rest)).collect()),
        _ => Err(wrong()),
    }
}

fn like(low: &mut Lowering<'_>, call: &Call<'_>, shape: &[Size]) -> Views {
    let to = low.value(call, "other")?.shape();
    one(reshape(shape, to))
}

fn flatten(_low: &mut Lowering<'_>, call: &Call<'_>, shape: &[Size]) -> Views {
    if shape.is_empty() {
        return one(reshape(shape, vec![Size::ONE]));
    }
    let (first, last) =
        (axis(call.int("start_dim", 0)?, shape.len())?, axis(call.int("end_dim", -1)?, shape.len())?);
    if first > last {
        return Err("ends before it begins".into());
    }
    let merged = elements(&shape[first..=last]).and_then(Size::of_symbolic).ok_or("too many elements")?;
    let to = shape[..first].iter().copied().chain([merged]).chain(shape[last + 1..].iter().copied());
    one(reshape(shape, to.collect()))
}

fn unflatten(low: &mut Lowering<'_>, call: &Call<'_>, shape: &[Size]) -> Views {
    let at = axis(call.required_int("dim")?, shape.len())?;
    let given = low.sizes(call, "sizes")?;
    let inner = filled(&given, &shape[at..=at])?;
    let to = shape[..at].iter().copied().chain(inner).chain(shape[at + 1..].iter().copied());
    one(reshape(shape, to.collect()))
}

fn squeeze(_low: &mut Lowering<'_>, call: &Call<'_>, shape: &[Size]) -> Views {
    let axes = call.optional_ints("dim")?.unwrap_or_default();
    let axes = axes.iter().map(|a| axis(*a, shape.len())).collect::<Result<Vec<_>>>()?;
    let stays = |i: &usize| !axes.contains(i) || shape[*i] != Size::ONE;
    one(reshape(shape, (0..shape.len()).filter(stays).map(|i| shape[i]).collect()))
}

/// Stretches of `size` entries of an axis of `extent`, the last one perhaps shorter.
fn parts(axis: usize, extent: usize, size: usize) -> Views {
    if size == 0 || extent.div_ceil(size) > 4096 {
        return Err(format!("{extent} entries in parts of {size}"));
    }
    let part = |start: usize| vec![View::Slice { axis, start, len: size.min(extent - start), step: 1 }];
    Ok((0..extent).step_by(size).map(part).collect())
}

fn split_sizes(_low: &mut Lowering<'_>, call: &Call<'_>, shape: &[Size]) -> Views {
    let name = if call.argument("split_sizes").is_some() { "split_sizes" } else { "split_size" };
    let sizes = call.optional_ints(name)?.unwrap_or_default();
    let at = axis(call.int("dim", 0)?, shape.len())?;
    let extent = known(shape[at])?;
    let mut start = 0usize;
    let mut found = Vec::new();
    for size in &sizes {
        let len = usize::try_from(*size).ok().filter(|l| *l > 0 && start + l <= extent);
        let len = len.ok_or_else(|| format!("parts of {sizes:?} of {extent} entries"))?;
        found.push(vec![View::Slice { axis: at, start, len, step: 1 }]);
        start += len;
    }
    Ok(found)
}
