//! Normalizations. What scales a normalized value is a NormScale, what shifts it a NormShift.

use super::{Row, first, value};
use crate::Role;
use crate::graph::call::{Call, known};
use crate::graph::constant::{Constant, Kind as Numbers};
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::{Size, elements, shown};
use crate::graph::step::Kind;
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[
    value("aten.batch_norm.default", batch_norm),
    first("aten._native_batch_norm_legit_functional.default", batch_norm),
    first("aten._native_batch_norm_legit.default", batch_norm),
    first("aten._native_batch_norm_legit.no_stats", batch_norm),
    value("aten.layer_norm.default", layer_norm),
    first("aten.native_layer_norm.default", layer_norm),
    value("aten.rms_norm.default", rms_norm),
    value("aten.group_norm.default", group_norm),
    value("aten.instance_norm.default", instance_norm),
];

/// Scale and shift over the last axis in memory: those of the call, or 1 and 0.
fn affine(low: &mut Lowering<'_>, call: &Call<'_>, channels: usize) -> Result<([Tensor; 2], bool)> {
    let mut plain = true;
    let mut of = |low: &mut Lowering<'_>, name, role, value| match low.optional_tensor(call, name)? {
        Some(x) => {
            if elements(&x.shape) != Some(channels as u128) {
                return Err(format!(
                    "argument '{name}' {} does not fit {channels} channels",
                    shown(&x.shape)
                ));
            }
            plain = false;
            low.mark(x.id, role);
            low.reshaped(&x, &[Size::fixed(channels)])
        }
        None => low.materialized(&Constant::full(Numbers::Float, &[channels], value)?),
    };
    let gamma = of(low, "weight", Role::NormScale, 1.0)?;
    let beta = of(low, "bias", Role::NormShift, 0.0)?;
    Ok(([gamma, beta], plain))
}

/// Remembers that nothing scaled a normalized value yet.
fn noted(low: &mut Lowering<'_>, y: Tensor, plain: bool) -> Tensor {
    if let (true, crate::graph::step::Id::Value(v)) = (plain, y.id) {
        low.normalized.insert(v);
    }
    y
}

fn channels(x: &Tensor) -> Result<usize> {
    known(*x.shape.get(1).ok_or_else(|| format!("expects channels, and not {}", shown(&x.shape)))?)
}

fn batch_norm(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    // Training and evaluation are ours to choose. Without running statistics there is no evaluation.
    let evaluates = !call.flag("training", true)?;
    low.evaluates |= evaluates && call.argument("running_mean").is_some();
    let x = low.tensor(call, "input")?;
    let (momentum, eps) = (call.float("momentum", 0.1)?, call.float("eps", 1e-5)?);
    let x = low.channels_last(&x)?;
    let count = channels(&x)?;
    let ([gamma, beta], plain) = affine(low, call, count)?;
    let running = low.buffer(call, "running_mean")?.zip(low.buffer(call, "running_var")?);
    let slot = match running {
        Some((mean, var)) => Some(low.running(&mean, &var, count, momentum, &[&gamma, &beta])?),
        None => None,
    };
    let kind = Kind::BatchNorm { slot, eps };
    let inputs = [&x, &gamma, &beta];
    let y = match slot {
        Some(slot) => low.op(kind, &inputs, x.shape.clone(), x.order.clone(), move |p| {
            ops::batch_norm(p.moments(slot), eps)
        }),
        None => low.op(kind, &inputs, x.shape.clone(), x.order.clone(), move |_| {
            ops::batch_norm(ops::Moments::Batch { slot: None }, eps)
        }),
    }?;
    Ok(Value::Tensor(noted(low, y, plain)))
}

/// The value as rows of the axes that `normalized_shape` names, and the extents to give it back.
fn as_rows(low: &mut Lowering<'_>, call: &Call<'_>, x: &Tensor) -> Result<(Tensor, usize)> {
    let inner = call.optional_ints("normalized_shape")?.unwrap_or_default();
    let outer =
        x.shape.len().checked_sub(inner.len()).filter(|_| !inner.is_empty()).ok_or("too many axes")?;
    if x.shape[outer..].iter().zip(&inner).any(|(s, n)| s.known().map(|s| s as i64) != Some(*n)) {
        return Err(format!("axes {inner:?} are not the last ones of {}", shown(&x.shape)));
    }
    let width = known(elements(&x.shape[outer..]).and_then(Size::of_symbolic).ok_or("too many elements")?)?;
    let x = match inner.len() {
        1 => x.clone(),
        _ => {
            let shape: Vec<Size> = x.shape[..outer].iter().copied().chain([Size::fixed(width)]).collect();
            low.reshaped(x, &shape)?
        }
    };
    Ok((low.last_in_memory(&x, outer)?, width))
}

fn layer_norm(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let x = low.tensor(call, "input")?;
    let eps = call.float("eps", 1e-5)?;
    let (rows, width) = as_rows(low, call, &x)?;
    low.rows = true;
    let ([gamma, beta], plain) = affine(low, call, width)?;
    let inputs = [&rows, &gamma, &beta];
    let y = low.op(Kind::Norm, &inputs, rows.shape.clone(), rows.order.clone(), move |_| {
        ops::layer_norm_rows(eps)
    })?;
    let y = noted(low, y, plain);
    low.reshaped(&y, &x.shape).map(Value::Tensor)
}

fn rms_norm(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let x = low.tensor(call, "input")?;
    // PyTorch's default is the rounding unit of its element type, which is single precision where networks are trained.
    let eps = call.float("eps", f64::from(f32::EPSILON))?;
    let (rows, width) = as_rows(low, call, &x)?;
    low.rows = true;
    let ([gamma, _], plain) = affine(low, call, width)?;
    let y = low.op(Kind::Norm, &[&rows, &gamma], rows.shape.clone(), rows.order.clone(), move |_| {
        ops::rms_norm_rows(eps)
    })?;
    let y = noted(low, y, plain);
    low.reshaped(&y, &x.shape).map(Value::Tensor)
}

fn group_norm(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let x = low.tensor(call, "input")?;
    let [groups] = call.per_axis::<1>("num_groups", 1)?;
    let eps = call.float("eps", 1e-5)?;
    let x = low.channels_last(&x)?;
    let count = channels(&x)?;
    if groups == 0 || count % groups != 0 {
        return Err(format!("{count} channels in {groups} groups"));
    }
    let ([gamma, beta], plain) = affine(low, call, count)?;
    let inputs = [&x, &gamma, &beta];
    let y =
        low.op(Kind::Norm, &inputs, x.shape.clone(), x.order.clone(), move |_| ops::group_norm(groups, eps))?;
    Ok(Value::Tensor(noted(low, y, plain)))
}

fn instance_norm(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    call.argument("momentum");
    if call.argument("running_mean").is_some() || call.argument("running_var").is_some() {
        return Err("running statistics of instance normalization are not supported".into());
    }
    call.argument("use_input_stats");
    let x = low.tensor(call, "input")?;
    let eps = call.float("eps", 1e-5)?;
    let x = low.channels_last(&x)?;
    let count = channels(&x)?;
    let ([gamma, beta], plain) = affine(low, call, count)?;
    let inputs = [&x, &gamma, &beta];
    let y =
        low.op(Kind::Norm, &inputs, x.shape.clone(), x.order.clone(), move |_| ops::instance_norm(eps))?;
    Ok(Value::Tensor(noted(low, y, plain)))
}
