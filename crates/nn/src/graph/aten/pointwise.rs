//! Functions of each element, and of two.

use super::{Row, value};
use crate::graph::call::Call;
use crate::graph::constant::{Constant, Kind as Numbers};
use crate::graph::error::Result;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::step::Kind;
use sph_autodiff::{Op, ops};

/// A row of a function of one number: its name, the function for constants, the op for values that are computed.
macro_rules! unary {
    ($target:literal, $host:expr, $op:expr) => {
        value($target, |low, call| map(low, call, $host, || $op))
    };
}

/// The same for two numbers.
macro_rules! binary {
    ($target:literal, $host:expr, $op:expr) => {
        value($target, |low, call| pair(low, call, $host, Kind::Pointwise, || $op))
    };
}

pub(super) const ROWS: &[Row] = &[
    value("aten.relu.default", |low, call| {
        let x = low.tensor(call, "self")?;
        low.map(Kind::Relu, &x, |_| ops::relu()).map(Value::Tensor)
    }),
    unary!("aten.tanh.default", f64::tanh, ops::tanh()),
    unary!("aten.sigmoid.default", |x| 1.0 / (1.0 + (-x).exp()), ops::sigmoid()),
    unary!("aten.silu.default", |x| x / (1.0 + (-x).exp()), ops::silu()),
    unary!("aten.exp.default", f64::exp, ops::exp()),
    unary!("aten.log.default", f64::ln, ops::log()),
    value("aten.log1p.default", |low, call| match low.value(call, "self")? {
        Value::Constant(c) => Ok(c.map(Numbers::Float, f64::ln_1p).into()),
        x => {
            let x = low.as_tensor(&x)?;
            let x = low.map(Kind::Scaled, &x, |_| ops::affine(1.0, 1.0))?;
            low.map(Kind::Pointwise, &x, |_| ops::log()).map(Value::Tensor)
        }
    }),
    unary!("aten.sqrt.default", f64::sqrt, ops::sqrt()),
    unary!("aten.rsqrt.default", |x| 1.0 / x.sqrt(), ops::rsqrt()),
    unary!("aten.reciprocal.default", |x| 1.0 / x, ops::pow(-1.0)),
    unary!("aten.square.default", |x| x * x, ops::pow(2.0)),
    unary!("aten.abs.default", f64::abs, ops::abs()),
    unary!("aten.sin.default", f64::sin, ops::sin()),
    unary!("aten.cos.default", f64::cos, ops::cos()),
    value("aten.neg.default", |low, call| {
        let x = low.value(call, "self")?;
        scaled(low, &x, -1.0)
    }),
    value("aten.erf.default", |low, call| {
        let x = low.tensor(call, "self")?;
        low.map(Kind::Pointwise, &x, |_| ops::erf()).map(Value::Tensor)
    }),
    value("aten.gelu.default", |low, call| {
        let x = low.tensor(call, "self")?;
        match call.text("approximate", "none")? {
            "none" => low.map(Kind::Pointwise, &x, |_| ops::gelu()),
            "tanh" => low.map(Kind::Pointwise, &x, |_| ops::gelu_tanh()),
            other => return Err(format!("approximation '{other}' is not supported")),
        }
        .map(Value::Tensor)
    }),
    value("aten.mish.default", |low, call| computed(low, call, ops::mish)),
    value("aten.hardswish.default", |low, call| computed(low, call, ops::hardswish)),
    value("aten.hardsigmoid.default", |low, call| computed(low, call, ops::hardsigmoid)),
    value("aten.log_sigmoid.default", |low, call| computed(low, call, ops::log_sigmoid)),
    value("aten.relu6.default", |low, call| computed(low, call, || ops::clamp(0.0, 6.0))),
    value("aten.selu.default", |low, call| {
        computed(low, call, || ops::elu(1.673_263_242_354_377_2, 1.050_700_987_355_480_5, 1.0))
    }),
    value("aten.hardtanh.default", |low, call| {
        let (a, b) = (call.float("min_val", -1.0)?, call.float("max_val", 1.0)?);
        computed(low, call, move || ops::clamp(a, b))
    }),
    value("aten.clamp.default", |low, call| {
        let (a, b) = (call.float("min", f64::NEG_INFINITY)?, call.float("max", f64::INFINITY)?);
        map(low, call, move |x| x.max(a).min(b), move || ops::clamp(a, b))
    }),
    value("aten.clamp_min.default", |low, call| {
        let a = call.float("min", f64::NEG_INFINITY)?;
        map(low, call, move |x| x.max(a), move || ops::clamp(a, f64::INFINITY))
    }),
    value("aten.clamp_max.default", |low, call| {
        let b = call.float("max", f64::INFINITY)?;
        map(low, call, move |x| x.min(b), move || ops::clamp(f64::NEG_INFINITY, b))
    }),
    value("aten.leaky_relu.default", |low, call| {
        let slope = call.float("negative_slope", 0.01)?;
        computed(low, call, move || ops::leaky_relu(slope))
    }),
    value("aten.elu.default", |low, call| {
        let (a, s, i) =
            (call.float("alpha", 1.0)?, call.float("scale", 1.0)?, call.float("input_scale", 1.0)?);
        computed(low, call, move || ops::elu(a, s, i))
    }),
    value("aten.celu.default", |low, call| {
        let a = call.float("alpha", 1.0)?;
        computed(low, call, move || ops::elu(a, 1.0, 1.0 / a))
    }),
    value("aten.softplus.default", |low, call| {
        let (b, t) = (call.float("beta", 1.0)?, call.float("threshold", 20.0)?);
        computed(low, call, move || ops::softplus(b, t))
    }),
    value("aten.add.Tensor", |low, call| sum(low, call, 1.0)),
    value("aten.add.Scalar", |low, call| sum(low, call, 1.0)),
    value("aten.sub.Tensor", |low, call| sum(low, call, -1.0)),
    value("aten.sub.Scalar", |low, call| sum(low, call, -1.0)),
    value("aten.rsub.Scalar", |low, call| {
        let alpha = call.float("alpha", 1.0)?;
        let (x, c) = (low.value(call, "self")?, low.value(call, "other")?);
        let scaled = scaled(low, &x, -alpha)?;
        added(low, &scaled, &c)
    }),
    value("aten.mul.Tensor", product),
    value("aten.mul.Scalar", product),
    value("aten.div.Tensor", quotient),
    value("aten.div.Scalar", quotient),
    value("aten.div.Tensor_mode", divided),
    value("aten.div.Scalar_mode", divided),
    value("aten.floor_divide.default", |low, call| whole(low, call, |a, b| (a / b).floor())),
    value("aten.remainder.Scalar", |low, call| whole(low, call, |a, b| a - b * (a / b).floor())),
    value("aten.remainder.Tensor", |low, call| whole(low, call, |a, b| a - b * (a / b).floor())),
    value("aten.pow.Tensor_Scalar", |low, call| {
        let p = call.optional_float("exponent")?.ok_or("argument 'exponent' is missing")?;
        map(low, call, move |x| x.powf(p), move || ops::pow(p))
    }),
    value("aten.pow.Scalar", |low, call| {
        let base = call.optional_float("self")?.ok_or("argument 'self' is missing")?;
        match low.value(call, "exponent")? {
            Value::Constant(c) => Ok(c.map(Numbers::Float, |x| base.powf(x)).into()),
            x if base > 0.0 => {
                // bˣ = e^(x ln b)
                let x = low.as_tensor(&x)?;
                let x = low.map(Kind::Scaled, &x, move |_| ops::affine(base.ln(), 0.0))?;
                low.map(Kind::Pointwise, &x, |_| ops::exp()).map(Value::Tensor)
            }
            _ => Err(format!("powers of {base}")),
        }
    }),
    binary!("aten.maximum.default", f64::max, ops::maximum()),
    binary!("aten.minimum.default", f64::min, ops::minimum()),
    value("aten.prelu.default", |low, call| {
        // max(x, 0) − w·max(−x, 0), w per channel.
        let (x, w) = (low.tensor(call, "self")?, low.tensor(call, "weight")?);
        let count = w.shape.iter().map(|s| s.times).product::<usize>();
        let mut shape = vec![crate::graph::size::Size::ONE; x.shape.len()];
        if let Some(channels) = shape.get_mut(1) {
            *channels = crate::graph::size::Size::fixed(count);
        }
        let w = low.reshaped(&w, &shape)?;
        let positive = low.map(Kind::Relu, &x, |_| ops::relu())?;
        let negated = low.map(Kind::Scaled, &x, |_| ops::affine(-1.0, 0.0))?;
        let negative = low.map(Kind::Relu, &negated, |_| ops::relu())?;
        low.mark(w.id, crate::Role::Magnitude);
        let negative = low.pair(Kind::Multiply, &negative, &w, |_| ops::mul())?;
        low.pair(Kind::Add, &positive, &negative, |_| ops::sub()).map(Value::Tensor)
    }),
    value("aten.glu.default", |low, call| {
        let x = low.tensor(call, "self")?;
        let at = crate::graph::call::axis(call.int("dim", -1)?, x.shape.len())?;
        let half = crate::graph::call::known(x.shape[at])? / 2;
        let (a, b) = (low.sliced(&x, at, 0, half, 1)?, low.sliced(&x, at, half, half, 1)?);
        let b = low.map(Kind::Pointwise, &b, |_| ops::sigmoid())?;
        low.pair(Kind::Multiply, &a, &b, |_| ops::mul()).map(Value::Tensor)
    }),
];

/// f of a constant, or the op of a value that is computed.
fn map<O: Op<f32> + Op<f64> + 'static>(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    host: impl Fn(f64) -> f64,
    op: impl Fn() -> O + Send + Sync + 'static,
) -> Result<Value> {
    match low.value(call, "self")? {
        Value::Constant(c) => {
            let mapped = c.map(Numbers::Float, host);
            let whole = c.kind < Numbers::Float && mapped.values.iter().all(|v| v.fract() == 0.0);
            Ok(Constant { kind: if whole { Numbers::Int } else { Numbers::Float }, ..mapped }.into())
        }
        x => {
            let x = low.as_tensor(&x)?;
            low.map(Kind::Pointwise, &x, move |_| op()).map(Value::Tensor)
        }
    }
}

/// The op of a value that is computed.
fn computed<O: Op<f32> + Op<f64> + 'static>(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    op: impl Fn() -> O + Send + Sync + 'static,
) -> Result<Value> {
    let x = low.tensor(call, "self")?;
    low.map(Kind::Pointwise, &x, move |_| op()).map(Value::Tensor)
}

/// f of two constants, or the op of values that are computed.
fn pair<O: Op<f32> + Op<f64> + 'static>(
    low: &mut Lowering<'_>,
    call: &Call<'_>,
    host: impl Fn(f64, f64) -> f64,
    kind: Kind,
    op: impl Fn() -> O + Send + Sync + 'static,
) -> Result<Value> {
    let (a, b) = (low.value(call, "self")?, low.value(call, "other")?);
    if let (Value::Constant(a), Value::Constant(b)) = (&a, &b) {
        return Ok(a.zip(b, a.kind.max(b.kind), host)?.into());
    }
    let (a, b) = (low.as_tensor(&a)?, low.as_tensor(&b)?);
    low.pair(kind, &a, &b, move |_| op()).map(Value::Tensor)
}

/// f of two constants, of whole numbers as well as others.
fn whole(low: &mut Lowering<'_>, call: &Call<'_>, f: impl Fn(f64, f64) -> f64) -> Result<Value> {
    match (low.value(call, "self")?, low.value(call, "other")?) {
        (Value::Constant(a), Value::Constant(b)) => Ok(a.zip(&b, a.kind.max(b.kind), f)?.into()),
        _ => Err("of values that are computed is not supported".into()),
    }
}

/// factor·x.
fn scaled(low: &mut Lowering<'_>, x: &Value, factor: f64) -> Result<Value> {
    match x {
        x if factor == 1.0 => Ok(x.clone()),
        Value::Constant(c) => {
            let kind = if factor.fract() == 0.0 { c.kind.max(Numbers::Int) } else { Numbers::Float };
            Ok(c.map(kind, |v| factor * v).into())
        }
        x => {
            let x = low.as_tensor(x)?;
            low.map(Kind::Scaled, &x, move |_| ops::affine(factor, 0.0)).map(Value::Tensor)
        }
    }
}

/// The number that a constant of one element is; its axes do not matter where the other operand has as many.
fn number(value: &Value, other: &Value) -> Option<f64> {
    value.constant().filter(|c| c.shape.len() <= other.shape().len()).and_then(Constant::single)
}

fn sum(low: &mut Lowering<'_>, call: &Call<'_>, sign: f64) -> Result<Value> {
    let alpha = call.float("alpha", 1.0)?;
    let (a, b) = (low.value(call, "self")?, low.value(call, "other")?);
    if let (Value::Tensor(x), Value::Tensor(y), true) = (&a, &b, sign * alpha == -1.0) {
        return low.pair(Kind::Add, x, y, |_| ops::sub()).map(Value::Tensor);
    }
    let b = scaled(low, &b, sign * alpha)?;
    added(low, &a, &b)
}

fn added(low: &mut Lowering<'_>, a: &Value, b: &Value) -> Result<Value> {
    if let (Value::Constant(a), Value::Constant(b)) = (a, b) {
        return Ok(a.zip(b, a.kind.max(b.kind).max(Numbers::Int), |a, b| a + b)?.into());
    }
    for (x, c) in [(a, b), (b, a)] {
        if let Some(c) = number(c, x) {
            let x = low.as_tensor(x)?;
            return match c == 0.0 {
                true => Ok(Value::Tensor(x)),
                false => low.map(Kind::Scaled, &x, move |_| ops::affine(1.0, c)).map(Value::Tensor),
            };
        }
    }
    let (a, b) = (low.as_tensor(a)?, low.as_tensor(b)?);
    let y = low.pair(Kind::Add, &a, &b, |_| ops::add())?;
    low.note_sum(&a, &b);
    Ok(Value::Tensor(y))
}

fn product(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (a, b) = (low.value(call, "self")?, low.value(call, "other")?);
    if let (Value::Constant(a), Value::Constant(b)) = (&a, &b) {
        return Ok(a.zip(b, a.kind.max(b.kind), |a, b| a * b)?.into());
    }
    for (x, c) in [(&a, &b), (&b, &a)] {
        if let Some(c) = number(c, x) {
            return scaled(low, x, c);
        }
    }
    let (a, b) = (low.as_tensor(&a)?, low.as_tensor(&b)?);
    let y = low.pair(Kind::Multiply, &a, &b, |_| ops::mul())?;
    low.note_product(&a, &b, &y);
    Ok(Value::Tensor(y))
}

fn quotient(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (a, b) = (low.value(call, "self")?, low.value(call, "other")?);
    if let (Value::Constant(a), Value::Constant(b)) = (&a, &b) {
        return Ok(a.zip(b, Numbers::Float, |a, b| a / b)?.into());
    }
    if let Some(c) = number(&b, &a) {
        // x/c, and not x·(1/c): the last bit is PyTorch's where c is a power of 2, and right to rounding elsewhere.
        return scaled(low, &a, 1.0 / c);
    }
    let (a, b) = (low.as_tensor(&a)?, low.as_tensor(&b)?);
    let y = low.pair(Kind::Multiply, &a, &b, |_| ops::div())?;
    low.note_product(&a, &b, &y);
    Ok(Value::Tensor(y))
}

fn divided(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    match call.argument("rounding_mode") {
        None => quotient(low, call),
        Some(sph_pt2::Argument::String(mode)) if mode == "floor" => whole(low, call, |a, b| (a / b).floor()),
        Some(sph_pt2::Argument::String(mode)) if mode == "trunc" => whole(low, call, |a, b| (a / b).trunc()),
        Some(other) => Err(Call::unexpected("rounding_mode", other)),
    }
}
