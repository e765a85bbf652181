//! Convolutions. Images lie channels last; a signal of one axis is an image of height 1.

use super::{Row, value};
use crate::Role;
use crate::graph::call::Call;
use crate::graph::error::Result;
use crate::graph::layout::Tensor;
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::{Size, shown};
use crate::graph::step::Kind;
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[
    value("aten.conv2d.default", convolution::<2>),
    value("aten.conv2d.padding", convolution::<2>),
    value("aten.conv1d.default", convolution::<1>),
    value("aten.conv1d.padding", convolution::<1>),
    value("aten.conv_transpose2d.input", transposed::<2>),
    value("aten.conv_transpose1d.default", transposed::<1>),
];

/// Numbers per axis of an image, from those of its `N` axes; a missing height has `height`.
fn per_axis<const N: usize>(given: [usize; N], height: usize) -> [usize; 2] {
    match given[..] {
        [h, w] => [h, w],
        _ => [height, given[N - 1]],
    }
}

/// A signal as an image of height 1.
fn as_image<const N: usize>(low: &mut Lowering<'_>, x: &Tensor) -> Result<Tensor> {
    if x.shape.len() != N + 2 {
        return Err(format!("expects {} axes, and not {}", N + 2, shown(&x.shape)));
    }
    if N == 2 {
        return Ok(x.clone());
    }
    let mut shape = x.shape.clone();
    shape.insert(2, Size::ONE);
    low.reshaped(x, &shape)
}

/// The result as what it was of: without the height of a signal.
fn as_signal<const N: usize>(low: &mut Lowering<'_>, y: &Tensor) -> Result<Value> {
    if N == 2 {
        return Ok(Value::Tensor(y.clone()));
    }
    let mut shape = y.shape.clone();
    shape.remove(2);
    low.reshaped(y, &shape).map(Value::Tensor)
}

fn convolution<const N: usize>(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (x, w) = (low.tensor(call, "input")?, low.tensor(call, "weight")?);
    let bias = low.optional_tensor(call, "bias")?;
    let (x, w) = (as_image::<N>(low, &x)?, as_image::<N>(low, &w)?);
    let stride = per_axis(call.per_axis::<N>("stride", 1)?, 1);
    let dilation = per_axis(call.per_axis::<N>("dilation", 1)?, 1);
    let [groups] = call.per_axis::<1>("groups", 1)?;
    let kernel = [crate::graph::call::known(w.shape[2])?, crate::graph::call::known(w.shape[3])?];
    let mut x = x;
    let padding = match call.argument("padding") {
        Some(sph_pt2::Argument::String(word)) if word == "valid" => [0, 0],
        Some(sph_pt2::Argument::String(word)) if word == "same" => {
            // What is odd goes behind, as in PyTorch.
            let total = [0, 1].map(|i| dilation[i] * (kernel[i].max(1) - 1));
            for (i, total) in total.iter().enumerate() {
                if total % 2 == 1 {
                    x = super::movement::zeros_around(low, &x, 2 + i, 0, 1)?;
                }
            }
            total.map(|t| t / 2)
        }
        _ => per_axis(call.per_axis::<N>("padding", 0)?, 0),
    };
    let x = low.channels_last(&x)?;
    let w = low.standard(&w)?;
    let out = |size: Size, i: usize| {
        let extent = crate::graph::call::known(size)? + 2 * padding[i];
        let window = dilation[i] * (kernel[i].max(1) - 1) + 1;
        match stride[i] > 0 && kernel[i] > 0 && extent >= window {
            true => Ok(Size::fixed((extent - window) / stride[i] + 1)),
            false => Err(format!("a window of {window} does not fit {extent} entries")),
        }
    };
    let shape = vec![x.shape[0], w.shape[0], out(x.shape[2], 0)?, out(x.shape[3], 1)?];
    if groups == 0 || x.shape[1].known() != w.shape[1].known().and_then(|n| n.checked_mul(groups)) {
        return Err(format!(
            "weights {} do not fit {} with {groups} groups",
            shown(&w.shape),
            shown(&x.shape)
        ));
    }
    low.mark(w.id, Role::Weight);
    let settings = ops::Convolution { stride, padding, dilation, groups };
    let inputs: Vec<&Tensor> = [&x, &w].into_iter().chain(&bias).collect();
    if let Some(bias) = &bias {
        low.mark(bias.id, Role::Bias);
    }
    let y = low.op(Kind::Weighted { by_output: true }, &inputs, shape, vec![0, 2, 3, 1], move |_| {
        ops::convolution(settings)
    })?;
    as_signal::<N>(low, &y)
}

fn transposed<const N: usize>(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (x, w) = (low.tensor(call, "input")?, low.tensor(call, "weight")?);
    let bias = low.optional_tensor(call, "bias")?;
    let (x, w) = (as_image::<N>(low, &x)?, as_image::<N>(low, &w)?);
    let stride = per_axis(call.per_axis::<N>("stride", 1)?, 1);
    let dilation = per_axis(call.per_axis::<N>("dilation", 1)?, 1);
    let padding = per_axis(call.per_axis::<N>("padding", 0)?, 0);
    let more = per_axis(call.per_axis::<N>("output_padding", 0)?, 0);
    let [groups] = call.per_axis::<1>("groups", 1)?;
    let x = low.channels_last(&x)?;
    let w = low.standard(&w)?;
    let out = |size: Size, i: usize| {
        let (extent, kernel) = (crate::graph::call::known(size)?, crate::graph::call::known(w.shape[2 + i])?);
        let all = (extent.max(1) - 1) * stride[i] + dilation[i] * (kernel.max(1) - 1) + 1 + more[i];
        all.checked_sub(2 * padding[i])
            .filter(|n| *n > 0)
            .map(Size::fixed)
            .ok_or("nothing is left of it".to_string())
    };
    let channels = Size::fixed(crate::graph::call::known(w.shape[1])? * groups);
    let shape = vec![x.shape[0], channels, out(x.shape[2], 0)?, out(x.shape[3], 1)?];
    low.mark(w.id, Role::Weight);
    let settings = ops::ConvTranspose { stride, padding, output_padding: more, dilation, groups };
    let inputs: Vec<&Tensor> = [&x, &w].into_iter().chain(&bias).collect();
    if let Some(bias) = &bias {
        low.mark(bias.id, Role::Bias);
    }
    let order = vec![0, 2, 3, 1];
    let y = low.op(Kind::Weighted { by_output: false }, &inputs, shape, order, move |_| {
        ops::conv_transpose(settings)
    })?;
    as_signal::<N>(low, &y)
}
