//! The ops, one file each, and their table.
//!
//! A new op is a file here and a row of [`OPS`]; the shared test runs every row's cases through
//! [`crate::check_op`] and fails on a file without a row.

// Cases are for tests: see the feature `cases`. Lints run with it, and find what is dead beside them.
#![cfg_attr(not(feature = "cases"), allow(dead_code))]

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
pub use attention::attention;
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
pub use scaled_dot_product::scaled_dot_product;
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
    /// Inputs on which its rules are checked, away from kinks. They compile every op, so they are there for tests alone.
    #[cfg(feature = "cases")]
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

/// The table of ops: each is a file, and what it computes.
macro_rules! table {
    ($($op:ident: $about:literal,)*) => {
        /// All ops.
        pub const OPS: &[OpRow] = &[$(OpRow {
            name: stringify!($op),
            about: $about,
            #[cfg(feature = "cases")]
            cases: $op::cases,
        }),*];
    };
}

table! {
    abs: "|x|",
    adaptive_avg_pool: "mean over windows that make a given size",
    add: "a + b, broadcast",
    affine: "a·x + b, a and b numbers",
    amax: "maximum over axes",
    attention: "multi-head self-attention",
    avg_pool: "mean over windows",
    batch_matmul: "products of matrices in pairs",
    batch_norm: "normalization over the batch, train and eval",
    bce: "binary cross-entropy of logits",
    bias: "x + b over the last axis",
    clamp: "values kept within bounds",
    concat: "arrays one behind the other",
    conv2d: "2-D convolution, NHWC by OIHW",
    conv_transpose: "transposed 2-D convolution",
    cos: "cosine",
    cross_entropy: "softmax cross-entropy with mixed and ignored labels and label smoothing",
    div: "a/b, broadcast",
    dropout: "zeroes elements at random, seeded",
    elu: "x above zero, exponential below",
    embedding: "rows of a table",
    entropy: "mean entropy of the softmax of logits",
    erf: "error function",
    exp: "eˣ",
    expand: "repetition along axes",
    flatten: "NHWC images to rows in CHW order",
    gelu: "xΦ(x)",
    gelu_tanh: "½x(1 + tanh(…)), a gelu",
    global_avg_pool: "mean over height and width",
    group_norm: "normalization of each sample by groups of channels",
    hardsigmoid: "clamp(x + 3, 0, 6)/6",
    hardswish: "x·clamp(x + 3, 0, 6)/6",
    instance_norm: "normalization of each channel of each sample",
    layer_norm: "normalization of each sample or row",
    leaky_relu: "x above zero, slope·x below",
    linear: "matrix product with transposed weights",
    log: "natural logarithm",
    log_sigmoid: "log σ(x)",
    log_softmax: "logarithm of the softmax over the last axis",
    masked_fill: "a number where a constant mask is true",
    matmul: "matrix product",
    max_pool: "maximum over windows",
    maximum: "the larger of a and b, broadcast",
    mean: "means over axes",
    minimum: "the smaller of a and b, broadcast",
    mish: "x·tanh(log(1 + eˣ))",
    mse: "mean squared error",
    mul: "a·b, broadcast",
    pad: "zeros around one axis",
    permute: "axes in another order",
    pow: "powers",
    relu: "max(x, 0)",
    reshape: "the same elements under another shape",
    rms_norm: "division by the root mean square",
    rsqrt: "1/√x",
    scaled_dot_product: "attention of separate queries, keys and values, with masks",
    sigmoid: "1/(1 + e⁻ˣ)",
    silu: "x/(1 + e⁻ˣ)",
    sin: "sine",
    slice: "a stretch of one axis",
    softmax: "softmax over the last axis",
    softplus: "log(1 + eˣ)",
    sqrt: "√x",
    sub: "a − b, broadcast",
    sum: "sums over axes",
    take: "entries of one axis by constant numbers",
    tanh: "hyperbolic tangent",
    variance: "variances over axes",
    weight_norm: "rows of a magnitude and a direction",
}

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
