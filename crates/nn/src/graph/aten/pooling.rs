//! Pools over windows.

use super::reductions::mean;
use super::{Row, value};
use crate::graph::call::{Call, known};
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::{Size, shown};
use crate::graph::step::Kind;
use sph_autodiff::rules::{Linear, LinearOp};
use sph_autodiff::{Op, ops};
use sph_tensor::Shape;

pub(super) const ROWS: &[Row] = &[
    value("aten.max_pool2d.default", |low, call| {
        let ([kernel, stride, padding], ceil_mode) = window(call)?;
        let dilation = call.per_axis::<2>("dilation", 1)?;
        let x = images(low, call, "self")?;
        pool(low, &x, ops::max_pool2d(ops::MaxPool { kernel, stride, padding, dilation, ceil_mode }))
    }),
    value("aten.avg_pool2d.default", |low, call| {
        let ([kernel, stride, padding], ceil_mode) = window(call)?;
        let count_include_pad = call.flag("count_include_pad", true)?;
        if call.argument("divisor_override").is_some() {
            return Err("argument 'divisor_override' is not supported".into());
        }
        let x = images(low, call, "self")?;
        pool(low, &x, ops::avg_pool2d(ops::AvgPool { kernel, stride, padding, ceil_mode, count_include_pad }))
    }),
    value("aten.adaptive_avg_pool2d.default", |low, call| {
        let x = images(low, call, "self")?;
        let out = call.per_axis::<2>("output_size", 1)?;
        if out == [1, 1] {
            return mean(low, &x, &[2, 3]).map(Value::Tensor);
        }
        let shape = vec![x.shape[0], x.shape[1], Size::fixed(out[0]), Size::fixed(out[1])];
        if shape == x.shape {
            return Ok(Value::Tensor(x));
        }
        low.op(Kind::Other, &[&x], shape, x.order.clone(), move |_| ops::adaptive_avg_pool(out))
            .map(Value::Tensor)
    }),
    value("aten.adaptive_avg_pool1d.default", |low, call| {
        let x = low.tensor(call, "self")?;
        let [out] = call.per_axis::<1>("output_size", 1)?;
        if x.shape.len() != 3 {
            return Err(format!("expects three axes, and not {}", shown(&x.shape)));
        }
        let image = low.reshaped(&x, &[x.shape[0], x.shape[1], Size::ONE, x.shape[2]])?;
        let image = low.channels_last(&image)?;
        let shape = vec![x.shape[0], x.shape[1], Size::ONE, Size::fixed(out)];
        let y = low.op(Kind::Other, &[&image], shape, image.order.clone(), move |_| {
            ops::adaptive_avg_pool([1, out])
        })?;
        low.reshaped(&y, &[x.shape[0], x.shape[1], Size::fixed(out)]).map(Value::Tensor)
    }),
];

fn images(low: &mut Lowering<'_>, call: &Call<'_>, name: &'static str) -> Result<Tensor> {
    let x = low.tensor(call, name)?;
    match x.shape.len() {
        4 => low.channels_last(&x),
        _ => Err(format!("expects images, and not {}", shown(&x.shape))),
    }
}

/// Kernel, strides and padding, those of the height first.
type Geometry = [[usize; 2]; 3];

/// The geometry of windows, and whether a last one may lead over the edge.
fn window(call: &Call<'_>) -> Result<(Geometry, bool)> {
    let kernel = call.per_axis::<2>("kernel_size", 1)?;
    let stride = match call.optional_ints("stride")? {
        Some(s) if !s.is_empty() => call.per_axis::<2>("stride", 1)?,
        _ => kernel,
    };
    Ok(([kernel, stride, call.per_axis::<2>("padding", 0)?], call.flag("ceil_mode", false)?))
}

fn pool<L>(low: &mut Lowering<'_>, x: &Tensor, op: LinearOp<L>) -> Result<Value>
where
    L: Linear<f32> + Linear<f64> + Clone,
{
    // The op knows what it makes of one image.
    let [h, w, c] = [2, 3, 1].map(|axis| known(x.shape[axis]));
    let one = Op::<f64>::output_shape(&op, &[Shape::new(&[1, h?, w?, c?])]).map_err(|e| e.to_string())?;
    let shape = vec![x.shape[0], x.shape[1], Size::fixed(one[1]), Size::fixed(one[2])];
    low.op(Kind::Other, &[x], shape, x.order.clone(), move |_| op.clone()).map(Value::Tensor)
}
