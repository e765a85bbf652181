//! Attention.

use super::products::product;
use super::{Row, value};
use crate::graph::action::InTraining;
use crate::graph::call::{Call, known};
use crate::graph::constant::{Constant, Kind as Numbers};
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::{Size, shown};
use crate::graph::step::Kind;
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[value("aten.scaled_dot_product_attention.default", attention)];

fn attention(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let [q, k, v] = ["query", "key", "value"].map(|name| low.tensor(call, name));
    let (q, k, v) = (q?, k?, v?);
    let mask = match low.optional(call, "attn_mask")? {
        Some(Value::Constant(c)) => Some(additive(&c).into()),
        other => other,
    };
    let (p, causal) = (call.float("dropout_p", 0.0)?, call.flag("is_causal", false)?);
    let rank = q.shape.len();
    let size = known(*q.shape.last().ok_or("expects tokens")?)?;
    let scale = call.optional_float("scale")?.unwrap_or(1.0 / (size as f64).sqrt());
    call.flag("enable_gqa", false)?;
    let shape: Vec<Size> =
        q.shape[..rank - 1].iter().copied().chain([*v.shape.last().ok_or("expects tokens")?]).collect();
    if p > 0.0 {
        return dropped(low, (&q, &k, &v), mask, (scale, causal, p)).map(Value::Tensor);
    }
    // One head where there is no axis of heads; more axes in front count as samples.
    let four = |low: &mut Lowering<'_>, x: &Tensor| -> Result<Tensor> {
        match x.shape.len() {
            4 => Ok(x.clone()),
            3 => {
                let to = [x.shape[0], Size::ONE, x.shape[1], x.shape[2]];
                low.reshaped(x, &to)
            }
            _ => Err(format!("queries, keys and values of {} are not supported", shown(&x.shape))),
        }
    };
    let (q4, k4, v4) = (four(low, &q)?, four(low, &k)?, four(low, &v)?);
    low.note_keys(k4.id);
    // Tokens in front of heads, as linear layers make them.
    let [q4, k4, v4] = [q4, k4, v4].map(|x| low.with_order(&x, &[0, 2, 1, 3]));
    let (q4, k4, v4) = (q4?, k4?, v4?);
    let mask = match mask {
        None => None,
        Some(mask) => {
            let mask = low.as_tensor(&mask)?;
            let mask =
                if rank == 3 && mask.shape.len() == 3 { four(low, &mask)? } else { low.with_rank(&mask, 4)? };
            Some(low.standard(&mask)?)
        }
    };
    let inputs: Vec<&Tensor> = [&q4, &k4, &v4].into_iter().chain(&mask).collect();
    let out = vec![q4.shape[0], q4.shape[1], q4.shape[2], v4.shape[3]];
    let y = low.op(Kind::Attention, &inputs, out, vec![0, 2, 1, 3], move |_| {
        ops::scaled_dot_product(scale, causal)
    })?;
    low.reshaped(&y, &shape).map(Value::Tensor)
}

/// What a mask adds to the scores: −∞ where one of zeros and ones forbids.
fn additive(mask: &Constant) -> Constant {
    match mask.kind {
        Numbers::Bool => mask.map(Numbers::Float, |v| if v != 0.0 { 0.0 } else { f64::NEG_INFINITY }),
        _ => mask.clone(),
    }
}

/// Attention in its parts, where its weights are dropped out.
fn dropped(
    low: &mut Lowering<'_>,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    mask: Option<Value>,
    (scale, causal, p): (f64, bool, f64),
) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        return Err(format!("probability {p} is not in [0, 1)"));
    }
    let rank = k.shape.len();
    if rank < 2 || q.shape.len() != rank || v.shape.len() != rank {
        let [q, k, v] = [q, k, v].map(|x| shown(&x.shape));
        return Err(format!("queries of {q}, keys of {k} and values of {v} are not supported"));
    }
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(rank - 2, rank - 1);
    low.note_keys(k.id);
    let keys = low.permuted(k, &axes);
    let q = low.map(Kind::Scaled, q, move |_| ops::affine(scale, 0.0))?;
    let mut scores = product(low, &q, &keys)?;
    let mut masks: Vec<Value> = mask.into_iter().collect();
    if causal {
        let (t, s) = (known(scores.shape[rank - 2])?, known(scores.shape[rank - 1])?);
        let mut c = Constant::full(Numbers::Float, &[t, s], 0.0)?;
        c.values
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| i % s > i / s)
            .for_each(|(_, v)| *v = f64::NEG_INFINITY);
        masks.push(c.into());
    }
    for mask in masks {
        let mask = low.as_tensor(&mask)?;
        scores = low.pair(Kind::Add, &scores, &mask, |_| ops::add())?;
    }
    let scores = low.last_in_memory(&scores, rank - 1)?;
    let weights = low.map(Kind::Softmax, &scores, |_| ops::softmax())?;
    let source = low.builder.dropout();
    let action = InTraining(move |pass: &crate::graph::step::Pass<'_>| ops::dropout(p, pass.rng(source)));
    let id = low.emit(Kind::Pointwise, vec![weights.id], weights.memory(), Box::new(action));
    product(low, &Tensor { id, ..weights }, v)
}
