//! The ops, one file each, and their table.
//!
//! A new op is a file here and a row of [`OPS`]; the shared test runs every row's cases through
//! [`crate::check_op`] and fails on a file without a row.

mod add;
mod attention;
mod avg_pool;
mod batch_matmul;
mod batch_norm;
mod bce;
mod bias;
mod concat;
mod conv2d;
mod cross_entropy;
mod dropout;
mod embedding;
mod entropy;
mod flatten;
mod gelu;
mod global_avg_pool;
mod group_norm;
mod instance_norm;
mod layer_norm;
mod linear;
mod matmul;
mod max_pool;
mod mse;
mod pad;
mod permute;
mod relu;
mod reshape;
mod rms_norm;
mod sigmoid;
mod silu;
mod slice;
mod softmax;
mod tanh;
mod weight_norm;

pub use add::{Add, add};
pub use attention::{Attention, attention};
pub use avg_pool::{AvgPool, avg_pool};
pub use batch_matmul::{BatchMatMul, batch_matmul};
pub use batch_norm::{BatchNorm, Moments, batch_norm};
pub use bce::{Bce, bce};
pub(crate) use bias::row_sum;
pub use bias::{Bias, bias};
pub use concat::{Concat, concat};
pub use conv2d::{Conv2d, conv2d, grouped_conv2d};
pub use cross_entropy::{CrossEntropy, Mixed, Targets, cross_entropy, probabilities};
pub use dropout::{Dropout, dropout};
pub use embedding::{Embedding, embedding};
pub use entropy::{Entropy, entropy};
pub use flatten::{Flatten, flatten};
pub use gelu::{Gelu, gelu};
pub use global_avg_pool::{GlobalAvgPool, global_avg_pool};
pub use group_norm::group_norm;
pub use instance_norm::instance_norm;
pub use layer_norm::{layer_norm, layer_norm_rows};
pub use linear::{Linear, linear};
pub use matmul::{MatMul, matmul};
pub use max_pool::{MaxPool, max_pool};
pub use mse::{Mse, mse};
pub use pad::{Pad, pad};
pub use permute::{Permute, permute};
pub use relu::{Relu, relu};
pub use reshape::{Reshape, reshape};
pub use rms_norm::{rms_norm, rms_norm_rows};
pub use sigmoid::{Sigmoid, sigmoid};
pub use silu::{Silu, silu};
pub use slice::{Slice, slice};
pub use softmax::{Softmax, softmax};
pub use tanh::{Tanh, tanh};
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
    OpRow { name: "add", about: "a + b", cases: add::cases },
    OpRow { name: "attention", about: "multi-head self-attention", cases: attention::cases },
    OpRow { name: "avg_pool", about: "mean over windows, padding counted", cases: avg_pool::cases },
    OpRow { name: "batch_matmul", about: "products of matrices in pairs", cases: batch_matmul::cases },
    OpRow {
        name: "batch_norm",
        about: "normalization over the batch, train and eval",
        cases: batch_norm::cases,
    },
    OpRow { name: "bce", about: "binary cross-entropy of logits", cases: bce::cases },
    OpRow { name: "bias", about: "x + b over the last axis", cases: bias::cases },
    OpRow { name: "concat", about: "arrays one behind the other", cases: concat::cases },
    OpRow { name: "conv2d", about: "2-D convolution, NHWC by OIHW", cases: conv2d::cases },
    OpRow {
        name: "cross_entropy",
        about: "softmax cross-entropy with mixed labels and label smoothing",
        cases: cross_entropy::cases,
    },
    OpRow { name: "dropout", about: "zeroes elements at random, seeded", cases: dropout::cases },
    OpRow { name: "embedding", about: "rows of a table", cases: embedding::cases },
    OpRow { name: "entropy", about: "mean entropy of the softmax of logits", cases: entropy::cases },
    OpRow { name: "flatten", about: "NHWC images to rows in CHW order", cases: flatten::cases },
    OpRow { name: "gelu", about: "xΦ(x)", cases: gelu::cases },
    OpRow { name: "global_avg_pool", about: "mean over height and width", cases: global_avg_pool::cases },
    OpRow {
        name: "group_norm",
        about: "normalization of each sample by groups of channels",
        cases: group_norm::cases,
    },
    OpRow {
        name: "instance_norm",
        about: "normalization of each channel of each sample",
        cases: instance_norm::cases,
    },
    OpRow { name: "layer_norm", about: "normalization of each sample or row", cases: layer_norm::cases },
    OpRow { name: "linear", about: "matrix product with transposed weights", cases: linear::cases },
    OpRow { name: "matmul", about: "matrix product", cases: matmul::cases },
    OpRow { name: "max_pool", about: "maximum over windows", cases: max_pool::cases },
    OpRow { name: "mse", about: "mean squared error", cases: mse::cases },
    OpRow { name: "pad", about: "zeros around one axis", cases: pad::cases },
    OpRow { name: "permute", about: "axes in another order", cases: permute::cases },
    OpRow { name: "relu", about: "max(x, 0)", cases: relu::cases },
    OpRow { name: "reshape", about: "the same elements under another shape", cases: reshape::cases },
    OpRow { name: "rms_norm", about: "division by the root mean square", cases: rms_norm::cases },
    OpRow { name: "sigmoid", about: "1/(1 + e⁻ˣ)", cases: sigmoid::cases },
    OpRow { name: "silu", about: "x/(1 + e⁻ˣ)", cases: silu::cases },
    OpRow { name: "slice", about: "a stretch of one axis", cases: slice::cases },
    OpRow { name: "softmax", about: "softmax over the last axis", cases: softmax::cases },
    OpRow { name: "tanh", about: "hyperbolic tangent", cases: tanh::cases },
    OpRow { name: "weight_norm", about: "rows of a magnitude and a direction", cases: weight_norm::cases },
];

/// Standard normal input of the given dimensions for a case.
fn normal(dims: &[usize], tag: u64) -> Array<f64> {
    let shape = Shape::new(dims);
    let mut rng = Rng::new(0x0505, "case", tag, shape.len() as u64);
    let values: Vec<f64> = (0..shape.len()).map(|_| rng.normal()).collect();
    Array::from_slice(&Pool::new(), shape, &values)
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
