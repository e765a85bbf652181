//! Random masks. They are drawn from our streams, by the seed, their place in the network and the number of the batch; in evaluation there
//! are none, whatever the file says.

use super::{Row, value};
use crate::graph::action::{Bernoulli, InTraining};
use crate::graph::call::Call;
use crate::graph::error::Result;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::step::Kind;
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[
    value("aten.dropout.default", |low, call| {
        low.evaluates |= !call.flag("train", true)?;
        let p = call.float("p", 0.5)?;
        dropout(low, call, p)
    }),
    value("aten.native_dropout.default", |low, call| {
        low.evaluates |= !call.flag("train", true)?;
        let p = call.float("p", 0.5)?;
        dropout(low, call, p)
    }),
    value("aten.bernoulli.float", |low, call| {
        call.argument("generator");
        let p = call.float("p", 0.5)?;
        bernoulli(low, call, p)
    }),
    value("aten.bernoulli.p", |low, call| {
        let p = call.float("p", 0.5)?;
        bernoulli(low, call, p)
    }),
];

fn dropout(low: &mut Lowering<'_>, call: &Call<'_>, p: f64) -> Result<Value> {
    // The operation that writes in place calls it `self`.
    let name = if call.argument("input").is_some() { "input" } else { "self" };
    let x = low.tensor(call, name)?;
    if p == 0.0 {
        return Ok(Value::Tensor(x));
    }
    if !(0.0..1.0).contains(&p) {
        return Err(format!("probability {p} is not in [0, 1)"));
    }
    let source = low.builder.dropout();
    let action = InTraining(move |pass: &crate::graph::step::Pass<'_>| ops::dropout(p, pass.rng(source)));
    let id = low.emit(Kind::Pointwise, vec![x.id], x.memory(), Box::new(action));
    Ok(Value::Tensor(crate::graph::layout::Tensor { id, ..x }))
}

fn bernoulli(low: &mut Lowering<'_>, call: &Call<'_>, p: f64) -> Result<Value> {
    if !(0.0..=1.0).contains(&p) {
        return Err(format!("probability {p} is not in [0, 1]"));
    }
    let shape = low.value(call, "self")?.shape();
    low.check(&shape)?;
    let source = low.builder.dropout();
    let action = Bernoulli { sizes: shape.clone(), p, source };
    let id = low.emit(Kind::Source, Vec::new(), shape.clone(), Box::new(action));
    Ok(Value::Tensor(crate::graph::layout::Tensor::standard(id, shape)))
}
