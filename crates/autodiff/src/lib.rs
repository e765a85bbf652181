//! A tape whose ops know four rules, so that exact Hessian-vector products cost two more sweeps and nothing else.
//!
//! - [`Op`]: one differentiable operation; `forward`, `vjp`, `jvp` and `vjp_tangent` (the tangent of the vjp).
//! - [`Tape`]: records by running. Given tangents beforehand it carries them along in the same pass.
//! - [`sweep`]: gradients, Jacobian- and Hessian-vector products, pruned to what depends on the tangents.
//! - [`check_op`]: the order-2 derivative check that every op passes.
//! - [`extensions`]: what some ops offer beyond their rules: Kronecker factors, statistics of the batch, counts of arithmetic.
//! - [`ops`]: the ops, one file each, and their table [`ops::OPS`].
//! - [`ParamSpec`]: a parameter's name, shape and [`Role`]; networks declare them, optimizers choose by them ([`Selection`]).
//!
//! Notation is docs/algorithm.md's: a dot is a tangent, a bar an adjoint; tangents and adjoint-tangents carry a leading
//! probe axis K, values and adjoints do not.
//!
//! ```
//! use sph_autodiff::{Leaf, Tape, ops};
//! use sph_tensor::{Array, Pool, Shape};
//!
//! // L(w) = −log softmax(x wᵀ)[1]; its gradient and, in the same passes, H·v for v = e₀.
//! let pool = Pool::<f64>::new();
//! let array = |dims: &[usize], v: &[f64]| Array::from_slice(&pool, Shape::new(dims), v);
//! let mut tape = Tape::new(&pool, 1);
//! let x = tape.constant(array(&[1, 2], &[0.5, -1.0]));
//! let w = tape.leaf(Leaf {
//!     value: array(&[2, 2], &[0.1, 0.2, 0.3, 0.4]),
//!     dot: Some(array(&[1, 2, 2], &[1.0, 0.0, 0.0, 0.0])),
//!     grad: true,
//!     hvp: true,
//! });
//! let logits = tape.apply(ops::linear(), &[&x, &w], "fc")?;
//! let loss = tape.apply(ops::cross_entropy(vec![1].into(), 0.0), &[&logits], "loss")?;
//! let adjoints = tape.backward(&loss);
//! assert_eq!(adjoints.grad(&w).unwrap().shape().dims(), &[2, 2]);
//! assert_eq!(adjoints.hvp(&w).unwrap().shape().dims(), &[1, 2, 2]);
//! # Ok::<(), sph_tensor::ShapeError>(())
//! ```

mod check;
pub mod extensions;
mod op;
pub mod ops;
mod param;
mod profile;
pub mod rules;
mod selection;
pub mod sweep;
mod tape;

pub use check::{CheckError, Tolerances, check_op};
pub use extensions::Statistics;
pub use op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
pub use param::{ParamSpec, Role};
pub use profile::OpCost;
pub use selection::{SELECTION_WORDS, Selection, SelectionError};
pub use sweep::grad::Adjoints;
pub use tape::{Leaf, NotOneLayer, Recorded, Tape, Var};
