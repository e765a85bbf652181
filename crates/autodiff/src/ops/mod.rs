//! The ops, one file each, and their table.
//!
//! A new op is a file here and a row of [`OPS`]; the shared test runs every row's cases through
//! [`crate::check_op`] and fails on a file without a row.

mod abs;
mod adaptive_avg_pool;
mod add;
mod affine;
mod amax;
mod attention;
mod avg_pool;
mod batch_matmul;
mod batch_norm;
mod bce;
mod bias;
mod clamp;
mod concat;
mod conv2d;
mod conv_transpose;
mod cos;
mod cross_entropy;
mod div;
mod dropout;
mod elu;
mod embedding;
mod entropy;
mod erf;
mod exp;
mod expand;
mod flatten;
mod gelu;
mod gelu_tanh;
mod global_avg_pool;
mod group_norm;
mod hardsigmoid;
mod hardswish;
mod instance_norm;
mod layer_norm;
mod leaky_relu;
mod linear;
mod log;
mod log_sigmoid;
mod log_softmax;
mod masked_fill;
mod matmul;
mod max_pool;
mod maximum;
mod mean;
mod minimum;
mod mish;
mod mse;
mod mul;
mod pad;
mod permute;
mod pow;
mod relu;
mod reshape;
mod rms_norm;
mod rsqrt;
mod scaled_dot_product;
mod sigmoid;
mod silu;
mod sin;
mod slice;
mod softmax;
mod softplus;
mod sqrt;
mod sub;
mod sum;
mod take;
mod tanh;
mod variance;
mod weight_norm;

pub use abs::{Abs, abs};
pub use adaptive_avg_pool::{AdaptiveAvgPool, adaptive_avg_pool};
pub use add::{Add, add};
pub use affine::{Affine, affine};
pub use amax::{Amax, amax};
pub use attention::{Attention, attention};
pub use avg_pool::{AvgPool, avg_pool, avg_pool2d};
pub use batch_matmul::{BatchMatMul, batch_matmul};
pub use batch_norm::{BatchNorm, Moments, batch_norm};
pub use bce::{Bce, bce};
pub(crate) use bias::row_sum;
pub use bias::{Bias, bias};
pub use clamp::{Clamp, clamp};
pub use concat::{Concat, concat};
pub use conv_transpose::{ConvTranspose, conv_transpose};
pub use conv2d::{Convolution, conv2d, convolution, grouped_conv2d};
pub use cos::{Cos, cos};
pub use cross_entropy::{CrossEntropy, IGNORED, Mixed, Targets, cross_entropy, probabilities};
pub use div::{Div, div};
pub use dropout::{Dropout, dropout};
pub use elu::{Elu, elu};
pub use embedding::{Embedding, embedding, embedding_with_padding};
pub use entropy::{Entropy, entropy};
pub use erf::{Erf, erf};
pub use exp::{Exp, exp};
pub use expand::{Expand, expand};
pub use flatten::{Flatten, flatten};
pub use gelu::{Gelu, gelu};
pub use gelu_tanh::{GeluTanh, gelu_tanh};
pub use global_avg_pool::{GlobalAvgPool, global_avg_pool};
pub use group_norm::group_norm;
pub use hardsigmoid::{Hardsigmoid, hardsigmoid};
pub use hardswish::{Hardswish, hardswish};
pub use instance_norm::instance_norm;
pub use layer_norm::{layer_norm, layer_norm_rows};
pub use leaky_relu::{LeakyRelu, leaky_relu};
pub use linear::{Linear, linear};
pub use log::{Log, log};
pub use log_sigmoid::{LogSigmoid, log_sigmoid};
pub use log_softmax::{LogSoftmax, log_softmax};
pub use masked_fill::{MaskedFill, masked_fill};
pub use matmul::{MatMul, matmul};
pub use max_pool::{MaxPool, max_pool, max_pool2d};
pub use maximum::{Maximum, maximum};
pub use mean::{Mean, mean};
pub use minimum::{Minimum, minimum};
pub use mish::{Mish, mish};
pub use mse::{Mse, mse};
pub use mul::{Mul, mul};
pub use pad::{Pad, pad};
pub use permute::{Permute, permute};
pub use pow::{Pow, pow};
pub use relu::{Relu, relu};
pub use reshape::{Reshape, reshape};
pub use rms_norm::{rms_norm, rms_norm_rows};
pub use rsqrt::{Rsqrt, rsqrt};
pub use scaled_dot_product::{ScaledDotProduct, scaled_dot_product};
pub use sigmoid::{Sigmoid, sigmoid};
pub use silu::{Silu, silu};
pub use sin::{Sin, sin};
pub use slice::{Slice, slice};
pub use softmax::{Softmax, softmax};
pub use softplus::{Softplus, softplus};
pub use sqrt::{Sqrt, sqrt};
pub use sub::{Sub, sub};
pub use sum::{Sum, sum};
pub use take::{Take, take};
pub use tanh::{Tanh, tanh};
pub use variance::{Variance, variance};
pub use weight_norm::{WeightNorm, weight_norm};

use crate::Op;
use sph_tensor::{Array, Pool, Rng, Shape};
use std::sync::Arc;

/// A row of the table of ops.
pub struct OpRow {
    /// The op's name, that of its file.
    pub name: &'static str,
    /// What it computes.
    pub about: &'static str,
    /// Inputs on which its rules are checked, away from kinks.
    pub cases: fn() -> Vec<Case>,
}

/// An op with inputs, for the derivative check.
pub struct Case {
    /// The op.
    pub op: Arc<dyn Op<f64>>,
    /// The same op in single precision.
    pub single: Arc<dyn Op<f32>>,
    /// Its inputs.
    pub inputs: Vec<Array<f64>>,
}

/// All ops.
pub const OPS: &[OpRow] = &[
    OpRow { name: "abs", about: "|x|", cases: abs::cases },
    OpRow {
        name: "adaptive_avg_pool",
        about: "mean over windows that make a given size",
        cases: adaptive_avg_pool::cases,
    },
    OpRow { name: "add", about: "a + b, broadcast", cases: add::cases },
    OpRow { name: "affine", about: "a·x + b, a and b numbers", cases: affine::cases },
    OpRow { name: "amax", about: "maximum over axes", cases: amax::cases },
    OpRow { name: "attention", about: "multi-head self-attention", cases: attention::cases },
    OpRow { name: "avg_pool", about: "mean over windows", cases: avg_pool::cases },
    OpRow { name: "batch_matmul", about: "products of matrices in pairs", cases: batch_matmul::cases },
    OpRow {
        name: "batch_norm",
        about: "normalization over the batch, train and eval",
        cases: batch_norm::cases,
    },
    OpRow { name: "bce", about: "binary cross-entropy of logits", cases: bce::cases },
    OpRow { name: "bias", about: "x + b over the last axis", cases: bias::cases },
    OpRow { name: "clamp", about: "values kept within bounds", cases: clamp::cases },
    OpRow { name: "concat", about: "arrays one behind the other", cases: concat::cases },
    OpRow { name: "conv2d", about: "2-D convolution, NHWC by OIHW", cases: conv2d::cases },
    OpRow { name: "conv_transpose", about: "transposed 2-D convolution", cases: conv_transpose::cases },
    OpRow { name: "cos", about: "cosine", cases: cos::cases },
    OpRow {
        name: "cross_entropy",
        about: "softmax cross-entropy with mixed and ignored labels and label smoothing",
        cases: cross_entropy::cases,
    },
    OpRow { name: "div", about: "a/b, broadcast", cases: div::cases },
    OpRow { name: "dropout", about: "zeroes elements at random, seeded", cases: dropout::cases },
    OpRow { name: "elu", about: "x above zero, exponential below", cases: elu::cases },
    OpRow { name: "embedding", about: "rows of a table", cases: embedding::cases },
    OpRow { name: "entropy", about: "mean entropy of the softmax of logits", cases: entropy::cases },
    OpRow { name: "erf", about: "error function", cases: erf::cases },
    OpRow { name: "exp", about: "eˣ", cases: exp::cases },
    OpRow { name: "expand", about: "repetition along axes", cases: expand::cases },
    OpRow { name: "flatten", about: "NHWC images to rows in CHW order", cases: flatten::cases },
    OpRow { name: "gelu", about: "xΦ(x)", cases: gelu::cases },
    OpRow { name: "gelu_tanh", about: "½x(1 + tanh(…)), a gelu", cases: gelu_tanh::cases },
    OpRow { name: "global_avg_pool", about: "mean over height and width", cases: global_avg_pool::cases },
    OpRow {
        name: "group_norm",
        about: "normalization of each sample by groups of channels",
        cases: group_norm::cases,
    },
    OpRow { name: "hardsigmoid", about: "clamp(x + 3, 0, 6)/6", cases: hardsigmoid::cases },
    OpRow { name: "hardswish", about: "x·clamp(x + 3, 0, 6)/6", cases: hardswish::cases },
    OpRow {
        name: "instance_norm",
        about: "normalization of each channel of each sample",
        cases: instance_norm::cases,
    },
    OpRow { name: "layer_norm", about: "normalization of each sample or row", cases: layer_norm::cases },
    OpRow { name: "leaky_relu", about: "x above zero, slope·x below", cases: leaky_relu::cases },
    OpRow { name: "linear", about: "matrix product with transposed weights", cases: linear::cases },
    OpRow { name: "log", about: "natural logarithm", cases: log::cases },
    OpRow { name: "log_sigmoid", about: "log σ(x)", cases: log_sigmoid::cases },
    OpRow {
        name: "log_softmax",
        about: "logarithm of the softmax over the last axis",
        cases: log_softmax::cases,
    },
    OpRow { name: "masked_fill", about: "a number where a constant mask is true", cases: masked_fill::cases },
    OpRow { name: "matmul", about: "matrix product", cases: matmul::cases },
    OpRow { name: "max_pool", about: "maximum over windows", cases: max_pool::cases },
    OpRow { name: "maximum", about: "the larger of a and b, broadcast", cases: maximum::cases },
    OpRow { name: "mean", about: "means over axes", cases: mean::cases },
    OpRow { name: "minimum", about: "the smaller of a and b, broadcast", cases: minimum::cases },
    OpRow { name: "mish", about: "x·tanh(log(1 + eˣ))", cases: mish::cases },
    OpRow { name: "mse", about: "mean squared error", cases: mse::cases },
    OpRow { name: "mul", about: "a·b, broadcast", cases: mul::cases },
    OpRow { name: "pad", about: "zeros around one axis", cases: pad::cases },
    OpRow { name: "permute", about: "axes in another order", cases: permute::cases },
    OpRow { name: "pow", about: "powers", cases: pow::cases },
    OpRow { name: "relu", about: "max(x, 0)", cases: relu::cases },
    OpRow { name: "reshape", about: "the same elements under another shape", cases: reshape::cases },
    OpRow { name: "rms_norm", about: "division by the root mean square", cases: rms_norm::cases },
    OpRow { name: "rsqrt", about: "1/√x", cases: rsqrt::cases },
    OpRow {
        name: "scaled_dot_product",
        about: "attention of separate queries, keys and values, with masks",
        cases: scaled_dot_product::cases,
    },
    OpRow { name: "sigmoid", about: "1/(1 + e⁻ˣ)", cases: sigmoid::cases },
    OpRow { name: "silu", about: "x/(1 + e⁻ˣ)", cases: silu::cases },
    OpRow { name: "sin", about: "sine", cases: sin::cases },
    OpRow { name: "slice", about: "a stretch of one axis", cases: slice::cases },
    OpRow { name: "softmax", about: "softmax over the last axis", cases: softmax::cases },
    OpRow { name: "softplus", about: "log(1 + eˣ)", cases: softplus::cases },
    OpRow { name: "sqrt", about: "√x", cases: sqrt::cases },
    OpRow { name: "sub", about: "a − b, broadcast", cases: sub::cases },
    OpRow { name: "sum", about: "sums over axes", cases: sum::cases },
    OpRow { name: "take", about: "entries of one axis by constant numbers", cases: take::cases },
    OpRow { name: "tanh", about: "hyperbolic tangent", cases: tanh::cases },
    OpRow { name: "variance", about: "variances over axes", cases: variance::cases },
    OpRow { name: "weight_norm", about: "rows of a magnitude and a direction", cases: weight_norm::cases },
];

/// Standard normal input of the given dimensions for a case.
fn normal(dims: &[usize], tag: u64) -> Array<f64> {
    let shape = Shape::new(dims);
    let mut rng = Rng::new(0x0505, "case", tag, shape.len() as u64);
    let values: Vec<f64> = (0..shape.len()).map(|_| rng.normal()).collect();
    Array::from_slice(&Pool::new(), shape, &values)
}

/// Standard normal input moved by ½ away from zero.
fn away_from_zero(dims: &[usize], tag: u64) -> Array<f64> {
    let mut x = normal(dims, tag);
    x.make_mut().iter_mut().for_each(|v| *v += 0.5 * v.signum());
    x
}

/// Positive input of at least ½.
fn positive(dims: &[usize], tag: u64) -> Array<f64> {
    let mut x = normal(dims, tag);
    x.make_mut().iter_mut().for_each(|v| *v = 0.5 + v.abs());
    x
}

/// x times a factor.
fn scaled(mut x: Array<f64>, factor: f64) -> Array<f64> {
    x.make_mut().iter_mut().for_each(|v| *v *= factor);
    x
}

/// x with channels of different means and scales, γ and, when `shift`, β.
fn norm_inputs(dims: &[usize], shift: bool) -> Vec<Array<f64>> {
    let c = *dims.last().unwrap_or(&1);
    let mut x = normal(dims, 0);
    x.make_mut().iter_mut().enumerate().for_each(|(i, v)| *v = *v * (0.5 + (i % c) as f64) + (i % c) as f64);
    let parameters = (1..=1 + u64::from(shift)).map(|tag| normal(&[c], tag));
    [x].into_iter().chain(parameters).collect()
}

fn case(op: impl Op<f64> + Op<f32>, inputs: Vec<Array<f64>>) -> Case {
    let op = Arc::new(op);
    Case { op: op.clone(), single: op, inputs }
}
