//! What each op of the tape is in ONNX, a row each. A new op that networks use in evaluation is a row here.

use super::onnx_graph::Attribute::{Float, Int, Ints};
use super::onnx_graph::{Graph, Order, any_batch};
use sph_autodiff::ops::{
    AdaptiveAvgPool, Affine, Amax, AvgPool, BatchMatMul, BatchNorm, Clamp, Concat, ConvTranspose,
    Convolution, Elu, Embedding, LeakyRelu, MaskedFill, MaxPool, Mean, Moments, Pad, Permute, Pow, Slice,
    Softplus, Sum, Take, Variance,
};
use sph_autodiff::rules::{AttentionOp, BilinearOp, GroupNormOp, Groups, LinearOp, PointwiseOp, RowNormOp};
use sph_autodiff::{Op, Recorded};
use sph_tensor::Shape;
use std::any::Any;
use std::f64::consts::PI;

/// One op of a tape, and what its output's shape is with another batch size.
pub struct Step<'a> {
    /// The op as recorded.
    pub r: Recorded<'a, f32>,
    /// The output's shape for another batch size.
    pub other: Shape,
}

/// The output of an op: its order and its name.
type Output = Result<(Order, String), String>;

/// A row of the table.
pub struct OnnxRow {
    /// The op's name in the table of ops.
    pub op: &'static str,
    /// Adds the nodes.
    pub nodes: fn(&mut Graph, &Step<'_>) -> Output,
}

const fn row(op: &'static str, nodes: fn(&mut Graph, &Step<'_>) -> Output) -> OnnxRow {
    OnnxRow { op, nodes }
}

/// All ops that networks use in evaluation.
pub const ONNX: &[OnnxRow] = &[
    row("abs", |g, s| pointwise(g, s, "Abs")),
    row("adaptive_avg_pool", |g, s| {
        // ONNX has windows of one size alone.
        let AdaptiveAvgPool(out) = s.op::<LinearOp<AdaptiveAvgPool>>()?.0;
        let extents = [s.r.x[0][1], s.r.x[0][2]];
        if extents[0] % out[0] != 0 || extents[1] % out[1] != 0 {
            return Err("its windows differ in size".into());
        }
        let kernel = [extents[0] / out[0], extents[1] / out[1]];
        images(g, s, "AveragePool", (kernel, kernel, [0; 2]), &[])
    }),
    row("add", |g, s| pair(g, s, "Add")),
    row("affine", |g, s| {
        let Affine { a, b } = s.op::<LinearOp<Affine>>()?.0;
        let (order, x) = s.native(g)?;
        let (a, b) = (g.scalar(a), g.scalar(b));
        let y = g.node("Mul", &[&x, &a], &[]);
        Ok((order, g.node("Add", &[&y, &b], &[])))
    }),
    row("amax", |g, s| {
        let x = s.tape(g, 0)?;
        tape(g.reduce("ReduceMax", &x, s.op::<LinearOp<Amax>>()?.0.axes.clone()))
    }),
    row("attention", |g, s| {
        let heads = s.op::<AttentionOp>()?.packed.ok_or("has no heads")? as i64;
        let (tokens, width) = (s.r.y[1] as i64, s.r.y[2] as i64);
        let x = s.tape(g, 0)?;
        let x = g.reshape(&x, [-1, tokens, 3, heads, width / heads]);
        let x = g.node("Transpose", &[&x], &[("perm", Ints(vec![2, 0, 3, 1, 4]))]);
        let [q, k, v] = [0, 1, 2].map(|i| {
            let index = g.ints([i]);
            g.node("Gather", &[&x, &index], &[("axis", Int(0))])
        });
        let k = g.node("Transpose", &[&k], &[("perm", Ints(vec![0, 1, 2, 4, 3]))]);
        let scores = g.node("MatMul", &[&q, &k], &[]);
        let scale = g.scalar(1.0 / ((width / heads) as f64).sqrt());
        let scores = g.node("Mul", &[&scores, &scale], &[]);
        let weights = g.node("Softmax", &[&scores], &[("axis", Int(4))]);
        let y = g.node("MatMul", &[&weights, &v], &[]);
        let y = g.node("Transpose", &[&y], &[("perm", Ints(vec![0, 1, 3, 2, 4]))]);
        tape(g.reshape(&y, [-1, tokens, width]))
    }),
    row("avg_pool", |g, s| {
        let AvgPool { kernel, stride, padding, ceil_mode, count_include_pad } =
            s.op::<LinearOp<AvgPool>>()?.0;
        if ceil_mode && count_include_pad {
            // Versions of ONNX differ in what a window counts beyond the padding.
            return Err("it counts padding in windows that lead over the edge".into());
        }
        let more =
            [("count_include_pad", usize::from(count_include_pad)), ("ceil_mode", usize::from(ceil_mode))];
        images(g, s, "AveragePool", (kernel, stride, padding), &more)
    }),
    row("batch_matmul", |g, s| {
        let BatchMatMul { transposed, scale } = s.op::<BilinearOp<BatchMatMul>>()?.0;
        let (a, mut b) = (s.tape(g, 0)?, s.tape(g, 1)?);
        if transposed {
            let rank = s.r.x[1].rank();
            let perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            b = g.node("Transpose", &[&b], &[("perm", Ints(perm))]);
        }
        let y = g.node("MatMul", &[&a, &b], &[]);
        if scale == 1.0 {
            return tape(y);
        }
        let scale = g.scalar(scale);
        tape(g.node("Mul", &[&y, &scale], &[]))
    }),
    row("batch_norm", |g, s| {
        let BatchNorm { moments, eps, relu } = s.op::<BatchNorm>()?;
        let Moments::Running { mean, var } = moments else {
            return Err("it takes its statistics from the batch".into());
        };
        let order = channels_second(s.r.x[0])?;
        let x = g.value(s.r.inputs[0], order)?;
        let (gamma, beta) = (s.tape(g, 1)?, s.tape(g, 2)?);
        let layer = gamma.trim_end_matches(".weight").to_string();
        let mut moments = |name: &str, values: &[f64]| {
            g.floats(&format!("{layer}.{name}"), &[values.len()], values.iter().map(|v| *v as f32))
        };
        let (mean, var) = (moments("running_mean", mean), moments("running_var", var));
        let inputs = [&x, &gamma, &beta, &mean, &var].map(String::as_str);
        let mut y = g.node("BatchNormalization", &inputs, &[("epsilon", Float(*eps))]);
        if let Some(shortcut) = s.r.inputs.get(3) {
            let shortcut = g.value(*shortcut, order)?;
            y = g.node("Add", &[&y, &shortcut], &[]);
        }
        if *relu {
            y = g.node("Relu", &[&y], &[]);
        }
        Ok((order, y))
    }),
    row("bias", |g, s| {
        let order = g.native(s.r.inputs[0]);
        let (x, mut b) = (g.value(s.r.inputs[0], order)?, s.tape(g, 1)?);
        if order == Order::ChannelsFirst {
            b = per_channel(g, &b, s.r.x[1])?;
        }
        Ok((order, g.node("Add", &[&x, &b], &[])))
    }),
    row("clamp", |g, s| {
        let Clamp { low, high } = s.op::<PointwiseOp<Clamp>>()?.0;
        let (order, x) = s.native(g)?;
        // Bounds that are not there would be infinite numbers, which not every reader takes.
        let [low, high] = [low, high].map(|v| if v.is_finite() { g.scalar(v) } else { String::new() });
        Ok((order, g.node("Clip", &[&x, &low, &high], &[])))
    }),
    row("concat", |g, s| {
        let axis = s.op::<Concat>()?.axis;
        let inputs = (0..s.r.inputs.len()).map(|i| s.tape(g, i)).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        tape(g.node("Concat", &inputs, &[("axis", Int(axis))]))
    }),
    row("conv2d", |g, s| {
        let Convolution { stride, padding, dilation, groups } = s.op::<BilinearOp<Convolution>>()?.0;
        let (x, w) = (g.value(s.r.inputs[0], Order::ChannelsFirst)?, s.tape(g, 1)?);
        let w_shape = s.r.x[1];
        let attributes = [
            ("kernel_shape", Ints(vec![w_shape[2], w_shape[3]])),
            ("strides", Ints(stride.to_vec())),
            ("pads", Ints([padding, padding].concat())),
            ("dilations", Ints(dilation.to_vec())),
            ("group", Int(groups)),
        ];
        let mut inputs = vec![x, w];
        if s.r.inputs.len() > 2 {
            inputs.push(s.tape(g, 2)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok((Order::ChannelsFirst, g.node("Conv", &inputs, &attributes)))
    }),
    row("conv_transpose", |g, s| {
        let ConvTranspose { stride, padding, output_padding, dilation, groups } =
            s.op::<BilinearOp<ConvTranspose>>()?.0;
        let (x, w) = (g.value(s.r.inputs[0], Order::ChannelsFirst)?, s.tape(g, 1)?);
        let attributes = [
            ("strides", Ints(stride.to_vec())),
            ("pads", Ints([padding, padding].concat())),
            ("output_padding", Ints(output_padding.to_vec())),
            ("dilations", Ints(dilation.to_vec())),
            ("group", Int(groups)),
        ];
        let mut inputs = vec![x, w];
        if s.r.inputs.len() > 2 {
            inputs.push(s.tape(g, 2)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok((Order::ChannelsFirst, g.node("ConvTranspose", &inputs, &attributes)))
    }),
    row("cos", |g, s| pointwise(g, s, "Cos")),
    row("div", |g, s| pair(g, s, "Div")),
    row("elu", |g, s| {
        let Elu { alpha, scale, input_scale } = s.op::<PointwiseOp<Elu>>()?.0;
        let (order, x) = s.native(g)?;
        if input_scale == 1.0 {
            let y = g.node("Elu", &[&x], &[("alpha", Float(alpha))]);
            let scale = g.scalar(scale);
            return Ok((order, g.node("Mul", &[&y, &scale], &[])));
        }
        // With z = input_scale·min(x, 0), the parts above and below zero: scale·max(x, 0) + scale·Elu(z).
        let (zero, rate, scale) = (g.scalar(0.0), g.scalar(input_scale), g.scalar(scale));
        let above = g.node("Max", &[&x, &zero], &[]);
        let below = g.node("Min", &[&x, &zero], &[]);
        let below = g.node("Mul", &[&below, &rate], &[]);
        let below = g.node("Elu", &[&below], &[("alpha", Float(alpha))]);
        let y = g.node("Add", &[&above, &below], &[]);
        Ok((order, g.node("Mul", &[&y, &scale], &[])))
    }),
    row("embedding", |g, s| {
        let Embedding { indices, shape, .. } = &s.op::<LinearOp<Embedding>>()?.0;
        let table = s.tape(g, 0)?;
        let rows = g.ints(indices.iter().map(|i| (*i).into()));
        let rows = g.reshape(&rows, shape.dims().iter().map(|d| *d as i64));
        tape(g.node("Gather", &[&table, &rows], &[]))
    }),
    row("erf", |g, s| pointwise(g, s, "Erf")),
    row("exp", |g, s| pointwise(g, s, "Exp")),
    row("expand", |g, s| {
        let x = s.tape(g, 0)?;
        let shape = any_batch(s.r.y, s.other)?;
        if shape.iter().any(|d| *d < 0) && s.r.x[0][0] == 1 {
            return Err("it repeats along the batch".into());
        }
        // To an extent of 1 ONNX's Expand leaves the input's own.
        let shape = g.ints(shape.into_iter().map(|d| d.max(1)));
        tape(g.node("Expand", &[&x, &shape], &[]))
    }),
    row("flatten", |g, s| {
        if s.r.x[0].rank() != 4 {
            return tape(s.tape(g, 0)?);
        }
        let x = g.value(s.r.inputs[0], Order::ChannelsFirst)?;
        tape(g.node("Flatten", &[&x], &[("axis", Int(1))]))
    }),
    row("gelu", |g, s| {
        let (order, x) = s.native(g)?;
        let (root, one, half) = (g.scalar(std::f64::consts::SQRT_2), g.scalar(1.0), g.scalar(0.5));
        let y = g.node("Div", &[&x, &root], &[]);
        let y = g.node("Erf", &[&y], &[]);
        let y = g.node("Add", &[&y, &one], &[]);
        let y = g.node("Mul", &[&x, &y], &[]);
        Ok((order, g.node("Mul", &[&y, &half], &[])))
    }),
    row("gelu_tanh", |g, s| {
        // xσ(v), v = √(8/π)·(x + 0.044715x³)
        let (order, x) = s.native(g)?;
        let (one, linear, cubic) = (g.scalar(1.0), g.scalar((8.0 / PI).sqrt()), g.scalar(0.044_715));
        let y = g.node("Mul", &[&x, &x], &[]);
        let y = g.node("Mul", &[&y, &cubic], &[]);
        let y = g.node("Add", &[&y, &one], &[]);
        let y = g.node("Mul", &[&y, &x], &[]);
        let y = g.node("Mul", &[&y, &linear], &[]);
        let y = g.node("Sigmoid", &[&y], &[]);
        Ok((order, g.node("Mul", &[&x, &y], &[])))
    }),
    row("global_avg_pool", |g, s| {
        let x = g.value(s.r.inputs[0], Order::ChannelsFirst)?;
        let y = g.node("GlobalAveragePool", &[&x], &[]);
        tape(g.node("Flatten", &[&y], &[("axis", Int(1))]))
    }),
    row("group_norm", group_norm),
    row("hardsigmoid", |g, s| {
        let (order, x) = s.native(g)?;
        Ok((order, g.node("HardSigmoid", &[&x], &[("alpha", Float(1.0 / 6.0)), ("beta", Float(0.5))])))
    }),
    // HardSwish itself is of version 14.
    row("hardswish", |g, s| {
        let (order, x) = s.native(g)?;
        let gate = g.node("HardSigmoid", &[&x], &[("alpha", Float(1.0 / 6.0)), ("beta", Float(0.5))]);
        Ok((order, g.node("Mul", &[&x, &gate], &[])))
    }),
    row("instance_norm", group_norm),
    row("layer_norm", group_norm),
    row("leaky_relu", |g, s| {
        let LeakyRelu { slope } = s.op::<PointwiseOp<LeakyRelu>>()?.0;
        let (order, x) = s.native(g)?;
        Ok((order, g.node("LeakyRelu", &[&x], &[("alpha", Float(slope))])))
    }),
    row("linear", |g, s| {
        let (x, w) = (s.tape(g, 0)?, s.tape(g, 1)?);
        let w = g.node("Transpose", &[&w], &[("perm", Ints(vec![1, 0]))]);
        let y = g.node("MatMul", &[&x, &w], &[]);
        if s.r.inputs.len() < 3 {
            return tape(y);
        }
        let b = s.tape(g, 2)?;
        tape(g.node("Add", &[&y, &b], &[]))
    }),
    row("log", |g, s| pointwise(g, s, "Log")),
    row("log_sigmoid", |g, s| {
        // −softplus(−x)
        let (order, x) = s.native(g)?;
        let y = g.node("Neg", &[&x], &[]);
        let y = g.node("Softplus", &[&y], &[]);
        Ok((order, g.node("Neg", &[&y], &[])))
    }),
    row("log_softmax", |g, s| {
        let x = s.tape(g, 0)?;
        tape(g.node("LogSoftmax", &[&x], &[("axis", Int(s.r.y.rank() - 1))]))
    }),
    row("masked_fill", |g, s| {
        let MaskedFill { mask, mask_shape, value } = &s.op::<LinearOp<MaskedFill>>()?.0;
        let x = s.tape(g, 0)?;
        let numbers = mask.iter().map(|m| if *m { 1.0 } else { 0.0 });
        let name = g.fresh("mask");
        let (mask, half) = (g.floats(&name, mask_shape.dims(), numbers), g.scalar(0.5));
        let mask = g.node("Greater", &[&mask, &half], &[]);
        let value = g.scalar(*value);
        tape(g.node("Where", &[&mask, &value, &x], &[]))
    }),
    row("matmul", |g, s| {
        let (a, b) = (s.tape(g, 0)?, s.tape(g, 1)?);
        tape(g.node("MatMul", &[&a, &b], &[]))
    }),
    row("max_pool", |g, s| {
        let MaxPool { kernel, stride, padding, dilation, ceil_mode } = s.op::<LinearOp<MaxPool>>()?.0;
        if dilation != [1; 2] {
            return Err("its windows have gaps".into());
        }
        images(g, s, "MaxPool", (kernel, stride, padding), &[("ceil_mode", usize::from(ceil_mode))])
    }),
    row("maximum", |g, s| pair(g, s, "Max")),
    row("mean", |g, s| {
        let x = s.tape(g, 0)?;
        tape(g.reduce("ReduceMean", &x, s.op::<LinearOp<Mean>>()?.0.axes.clone()))
    }),
    row("minimum", |g, s| pair(g, s, "Min")),
    row("mish", |g, s| {
        let (order, x) = s.native(g)?;
        let y = g.node("Softplus", &[&x], &[]);
        let y = g.node("Tanh", &[&y], &[]);
        Ok((order, g.node("Mul", &[&x, &y], &[])))
    }),
    row("mul", |g, s| pair(g, s, "Mul")),
    row("pad", |g, s| {
        let Pad { axis, before, behind } = s.op::<LinearOp<Pad>>()?.0;
        let x = s.tape(g, 0)?;
        let rank = s.r.x[0].rank();
        let mut pads = vec![0; 2 * rank];
        (pads[axis], pads[rank + axis]) = (before as i64, behind as i64);
        let pads = g.ints(pads);
        tape(g.node("Pad", &[&x, &pads], &[]))
    }),
    row("permute", |g, s| {
        let Permute(axes) = &s.op::<LinearOp<Permute>>()?.0;
        let x = s.tape(g, 0)?;
        tape(g.node("Transpose", &[&x], &[("perm", Ints(axes.clone()))]))
    }),
    row("pow", |g, s| {
        let Pow { exponent } = s.op::<PointwiseOp<Pow>>()?.0;
        let (order, x) = s.native(g)?;
        let exponent = g.scalar(exponent);
        Ok((order, g.node("Pow", &[&x, &exponent], &[])))
    }),
    row("relu", |g, s| pointwise(g, s, "Relu")),
    row("reshape", |g, s| {
        let x = s.tape(g, 0)?;
        let shape = any_batch(s.r.y, s.other)?;
        tape(g.reshape(&x, shape))
    }),
    row("rms_norm", group_norm),
    row("rsqrt", |g, s| {
        let (order, x) = s.native(g)?;
        let y = g.node("Sqrt", &[&x], &[]);
        Ok((order, g.node("Reciprocal", &[&y], &[])))
    }),
    row("scaled_dot_product", |g, s| {
        let AttentionOp { scale, causal, .. } = *s.op()?;
        let (q, kv) = (s.r.x[0], s.r.x[1]);
        if q[2] != kv[2] {
            return Err("its heads share keys and values".into());
        }
        let parts = [0, 1, 2].map(|i| s.tape(g, i));
        let [q_name, k, v] = parts;
        let heads_first = |g: &mut Graph, x: &str, perm: [usize; 4]| {
            g.node("Transpose", &[x], &[("perm", Ints(perm.to_vec()))])
        };
        let q_name = heads_first(g, &q_name?, [0, 2, 1, 3]);
        let k = heads_first(g, &k?, [0, 2, 3, 1]);
        let v = heads_first(g, &v?, [0, 2, 1, 3]);
        let mut scores = g.node("MatMul", &[&q_name, &k], &[]);
        let scale = g.scalar(scale.unwrap_or(1.0 / (q[3] as f64).sqrt()));
        scores = g.node("Mul", &[&scores, &scale], &[]);
        if s.r.inputs.len() > 3 {
            let mask = s.tape(g, 3)?;
            scores = g.node("Add", &[&scores, &mask], &[]);
        }
        if causal {
            let closed = |i: usize| if i % kv[1] > i / kv[1] { f32::NEG_INFINITY } else { 0.0 };
            let name = g.fresh("causal");
            let mask = g.floats(&name, &[q[1], kv[1]], (0..q[1] * kv[1]).map(closed));
            scores = g.node("Add", &[&scores, &mask], &[]);
        }
        let weights = g.node("Softmax", &[&scores], &[("axis", Int(3))]);
        let y = g.node("MatMul", &[&weights, &v], &[]);
        tape(heads_first(g, &y, [0, 2, 1, 3]))
    }),
    row("sigmoid", |g, s| pointwise(g, s, "Sigmoid")),
    row("silu", |g, s| {
        let (order, x) = s.native(g)?;
        let y = g.node("Sigmoid", &[&x], &[]);
        Ok((order, g.node("Mul", &[&x, &y], &[])))
    }),
    row("sin", |g, s| pointwise(g, s, "Sin")),
    row("slice", |g, s| {
        let Slice { axis, range } = &s.op::<LinearOp<Slice>>()?.0;
        let x = s.tape(g, 0)?;
        let [start, end, axis] = [range.start, range.end, *axis].map(|v| g.ints([v as i64]));
        tape(g.node("Slice", &[&x, &start, &end, &axis], &[]))
    }),
    row("softmax", |g, s| {
        let x = s.tape(g, 0)?;
        tape(g.node("Softmax", &[&x], &[("axis", Int(s.r.y.rank() - 1))]))
    }),
    row("softplus", |g, s| {
        // log(1 + e^(βx))/β; above the threshold that is x to rounding.
        let Softplus { beta, .. } = s.op::<PointwiseOp<Softplus>>()?.0;
        let (order, x) = s.native(g)?;
        let beta = g.scalar(beta);
        let y = g.node("Mul", &[&x, &beta], &[]);
        let y = g.node("Softplus", &[&y], &[]);
        Ok((order, g.node("Div", &[&y, &beta], &[])))
    }),
    row("sqrt", |g, s| pointwise(g, s, "Sqrt")),
    row("sub", |g, s| pair(g, s, "Sub")),
    row("sum", |g, s| {
        // Axes are an input since version 13 of the operators.
        let x = s.tape(g, 0)?;
        let axes = g.ints(s.op::<LinearOp<Sum>>()?.0.axes.iter().map(|axis| *axis as i64));
        tape(g.node("ReduceSum", &[&x, &axes], &[("keepdims", Int(1))]))
    }),
    row("take", |g, s| {
        let Take { axis, indices } = &s.op::<LinearOp<Take>>()?.0;
        let x = s.tape(g, 0)?;
        let indices = g.ints(indices.iter().map(|i| (*i).into()));
        tape(g.node("Gather", &[&x, &indices], &[("axis", Int(*axis))]))
    }),
    row("tanh", |g, s| pointwise(g, s, "Tanh")),
    row("variance", |g, s| {
        let Variance { axes, correction } = s.op()?;
        let x = s.tape(g, 0)?;
        let mean = g.reduce("ReduceMean", &x, axes.clone());
        let y = g.node("Sub", &[&x, &mean], &[]);
        let y = g.node("Mul", &[&y, &y], &[]);
        let y = g.reduce("ReduceMean", &y, axes.clone());
        let n = s.r.x[0].len() as f64 / s.r.y.len() as f64;
        let scale = g.scalar(n / (n - correction));
        tape(g.node("Mul", &[&y, &scale], &[]))
    }),
    row("weight_norm", |g, s| {
        let (v, gamma) = (s.tape(g, 0)?, s.tape(g, 1)?);
        let rank = s.r.x[0].rank();
        let norm = g.reduce("ReduceL2", &v, (1..rank).collect());
        let shape = std::iter::once(s.r.x[0][0] as i64).chain(std::iter::repeat_n(1, rank - 1));
        let gamma = g.reshape(&gamma, shape);
        let scale = g.node("Div", &[&gamma, &norm], &[]);
        tape(g.node("Mul", &[&v, &scale], &[]))
    }),
];

impl Step<'_> {
    /// The op as the type that its name promises.
    fn op<O: Op<f32>>(&self) -> Result<&O, String> {
        let op: &dyn Any = self.r.op;
        op.downcast_ref().ok_or_else(|| "it has another type than the op of this name".into())
    }

    /// The name of input `i`, in the tape's order.
    fn tape(&self, g: &mut Graph, i: usize) -> Result<String, String> {
        g.value(self.r.inputs[i], Order::Tape)
    }

    /// The name of the first input, in the order in which it came to be.
    fn native(&self, g: &mut Graph) -> Output {
        let order = g.native(self.r.inputs[0]);
        Ok((order, g.value(self.r.inputs[0], order)?))
    }
}

fn tape(name: String) -> Output {
    Ok((Order::Tape, name))
}

fn pointwise(g: &mut Graph, s: &Step<'_>, op: &str) -> Output {
    let (order, x) = s.native(g)?;
    Ok((order, g.node(op, &[&x], &[])))
}

/// An operator of two inputs that broadcast. Images both stay in the first one's order, so that shortcuts are NCHW.
fn pair(g: &mut Graph, s: &Step<'_>, op: &str) -> Output {
    let images = s.r.x.iter().all(|x| x.rank() == 4);
    let order = if images { g.native(s.r.inputs[0]) } else { Order::Tape };
    let (a, b) = (g.value(s.r.inputs[0], order)?, g.value(s.r.inputs[1], order)?);
    Ok((order, g.node(op, &[&a, &b], &[])))
}

/// Pooling over windows.
fn images(
    g: &mut Graph,
    s: &Step<'_>,
    op: &str,
    (kernel, stride, padding): ([usize; 2], [usize; 2], [usize; 2]),
    more: &[(&str, usize)],
) -> Output {
    let x = g.value(s.r.inputs[0], Order::ChannelsFirst)?;
    let mut attributes = vec![
        ("kernel_shape", Ints(kernel.to_vec())),
        ("strides", Ints(stride.to_vec())),
        ("pads", Ints([padding, padding].concat())),
    ];
    // Those that are 0 are what is meant without them.
    attributes.extend(more.iter().filter(|(_, value)| *value != 0).map(|(name, value)| (*name, Int(*value))));
    Ok((Order::ChannelsFirst, g.node(op, &[&x], &attributes)))
}

/// The order in which a value has its channels on axis 1, for ops of ONNX that expect them there.
fn channels_second(x: Shape) -> Result<Order, String> {
    match x.rank() {
        4 => Ok(Order::ChannelsFirst),
        2 => Ok(Order::Tape),
        n => Err(format!("its input has {n} axes")),
    }
}

/// Numbers per channel, for images NCHW.
fn per_channel(g: &mut Graph, b: &str, shape: Shape) -> Result<String, String> {
    match *shape.dims() {
        [c] => Ok(g.reshape(b, [c as i64, 1, 1])),
        _ => Err(format!("what is added to images has shape {shape}")),
    }
}

/// Normalization over groups of channels, or of each row: (x − mean)/√(mean square + ε), then scale and shift.
fn group_norm(g: &mut Graph, s: &Step<'_>) -> Output {
    let (order, x, reshaped, centered, eps) = match s.op::<GroupNormOp>() {
        Ok(op) => {
            let order = channels_second(s.r.x[0])?;
            let groups = match op.groups {
                Groups::Count(n) => n,
                Groups::PerChannel => s.r.x[0].last(),
            };
            let x = g.value(s.r.inputs[0], order)?;
            (order, g.reshape(&x, [0, groups as i64, -1]), true, op.centered, op.eps)
        }
        Err(_) => {
            let op = s.op::<RowNormOp>()?;
            (Order::Tape, s.tape(g, 0)?, false, op.centered, op.eps)
        }
    };
    let last = if reshaped { 2 } else { s.r.x[0].rank() - 1 };
    let mean = |g: &mut Graph, x: &str| g.reduce("ReduceMean", x, vec![last]);
    let mut y = x;
    if centered {
        let m = mean(g, &y);
        y = g.node("Sub", &[&y, &m], &[]);
    }
    let square = g.node("Mul", &[&y, &y], &[]);
    let (var, eps) = (mean(g, &square), g.scalar(eps));
    let var = g.node("Add", &[&var, &eps], &[]);
    let std = g.node("Sqrt", &[&var], &[]);
    y = g.node("Div", &[&y, &std], &[]);
    if reshaped {
        // Back to the extents behind the batch.
        let d = s.r.x[0].dims();
        let behind = if order == Order::ChannelsFirst { vec![d[3], d[1], d[2]] } else { d[1..].to_vec() };
        y = g.reshape(&y, std::iter::once(0).chain(behind.into_iter().map(|d| d as i64)));
    }
    for (i, op) in [(1, "Mul"), (2, "Add")].into_iter().take(s.r.inputs.len() - 1) {
        let mut p = s.tape(g, i)?;
        if order == Order::ChannelsFirst {
            p = per_channel(g, &p, s.r.x[i])?;
        }
        y = g.node(op, &[&y, &p], &[]);
    }
    Ok((order, y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_op_of_evaluation_has_a_row() {
        // Losses, and what evaluation leaves out.
        let training = ["bce", "cross_entropy", "dropout", "entropy", "mse"];
        let ops: BTreeSet<&str> = sph_autodiff::ops::OPS.iter().map(|o| o.name).collect();
        let rows: BTreeSet<&str> = ONNX.iter().map(|r| r.op).chain(training).collect();
        assert_eq!(ops, rows);
    }
}
