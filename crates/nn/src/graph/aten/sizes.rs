//! Whole numbers that depend on the batch size.

use super::{Row, nothing, value};
use crate::graph::call::{Call, axis};
use crate::graph::error::Result;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::Size;

pub(super) const ROWS: &[Row] = &[
    nothing("aten._assert_tensor_metadata.default"),
    nothing("aten._assert_scalar.default"),
    nothing("aten._assert_async.msg"),
    nothing("aten.sym_constrain_range_for_size.default"),
    nothing("aten.sym_constrain_range.default"),
    value("aten.sym_size.int", |low, call| {
        let shape = low.value(call, "self")?.shape();
        let at = axis(call.required_int("dim")?, shape.len())?;
        Ok(Value::Size(shape[at]))
    }),
    value("_operator.mul", |low, call| symbolic(low, call, "the product", |a, b| a.checked_mul(b))),
    value("_operator.floordiv", |low, call| {
        symbolic(low, call, "the quotient", |a, b| (b > 0 && a % b == 0).then(|| a / b))
    }),
    value("_operator.add", |low, call| fixed(low, call, |a, b| a.checked_add(b))),
    value("_operator.sub", |low, call| fixed(low, call, |a, b| a.checked_sub(b))),
    value("_operator.mod", |low, call| fixed(low, call, |a, b| a.checked_rem(b))),
];

/// f of two numbers, of which a multiple of the batch size may be one.
fn symbolic(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    what: &str,
    f: impl Fn(u128, u128) -> Option<u128>,
) -> Result<Value> {
    let (a, b) = (low.size(call, "a")?, low.size(call, "b")?);
    let size = f(a.symbolic(), b.symbolic()).and_then(Size::of_symbolic);
    size.map(Value::Size).ok_or_else(|| format!("{what} of {a} and {b} is no multiple of the batch size"))
}

/// f of two numbers that do not depend on the batch size.
fn fixed(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    f: impl Fn(usize, usize) -> Option<usize>,
) -> Result<Value> {
    let (a, b) = (low.size(call, "a")?, low.size(call, "b")?);
    let size = a.known().zip(b.known()).and_then(|(a, b)| f(a, b));
    size.map(|n| Value::Size(Size::fixed(n))).ok_or_else(|| format!("of {a} and {b} is not supported"))
}
