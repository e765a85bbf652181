//! Losses that stand in the graph.

use super::reductions::{mean, sum};
use super::{Row, value};
use crate::graph::action::CrossEntropy;
use crate::graph::call::Call;
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::step::Kind;
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[
    value("aten.mse_loss.default", |low, call| {
        let (x, t) = (low.tensor(call, "self")?, low.tensor(call, "target")?);
        let d = low.pair(Kind::Add, &x, &t, |_| ops::sub())?;
        let y = low.pair(Kind::Multiply, &d, &d, |_| ops::mul())?;
        reduced(low, call, y)
    }),
    value("aten.l1_loss.default", |low, call| {
        let (x, t) = (low.tensor(call, "self")?, low.tensor(call, "target")?);
        let d = low.pair(Kind::Add, &x, &t, |_| ops::sub())?;
        let y = low.map(Kind::Pointwise, &d, |_| ops::abs())?;
        reduced(low, call, y)
    }),
    value("aten.binary_cross_entropy_with_logits.default", |low, call| {
        if call.argument("weight").is_some() || call.argument("pos_weight").is_some() {
            return Err("weights of classes are not supported".into());
        }
        // softplus(x) − t·x
        let (x, t) = (low.tensor(call, "self")?, low.tensor(call, "target")?);
        let a = low.map(Kind::Pointwise, &x, |_| ops::softplus(1.0, 1e9))?;
        let b = low.pair(Kind::Multiply, &x, &t, |_| ops::mul())?;
        let y = low.pair(Kind::Add, &a, &b, |_| ops::sub())?;
        reduced(low, call, y)
    }),
    value("aten.cross_entropy_loss.default", cross_entropy),
];

/// The mean, the sum, or all, as `reduction` says.
fn reduced(low: &mut Lowering<'_>, call: &Call<'_>, y: Tensor) -> Result<Value> {
    let axes: Vec<usize> = (0..y.shape.len()).collect();
    let y = match call.int("reduction", 1)? {
        0 => return Ok(Value::Tensor(y)),
        1 => mean(low, &y, &axes)?,
        _ => sum(low, &y, &axes)?,
    };
    low.reshaped(&y, &[]).map(Value::Tensor)
}

fn cross_entropy(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (x, t) = (low.tensor(call, "self")?, low.tensor(call, "target")?);
    let (ignored, smoothing) = (call.int("ignore_index", -100)?, call.float("label_smoothing", 0.0)?);
    if call.argument("weight").is_some() {
        return Err("weights of classes are not supported".into());
    }
    if call.int("reduction", 1)? != 1 {
        return Err("the mean over samples is supported, and no other reduction".into());
    }
    if !low.whole(t.id) {
        return Err("targets that are no whole numbers of an input are not supported".into());
    }
    // Classes stand in axis 1, and last in memory.
    let x = if x.shape.len() > 1 { low.channels_last(&x)? } else { x };
    let t = low.standard(&t)?;
    let action = CrossEntropy { ignored, smoothing };
    let id = low.emit(Kind::Other, vec![x.id, t.id], Vec::new(), Box::new(action));
    Ok(Value::Tensor(Tensor::standard(id, Vec::new())))
}
