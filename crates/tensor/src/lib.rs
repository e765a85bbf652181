//! Arrays, a buffer pool and CPU kernels: everything below calculus.
//!
//! - [`Array`]: a shape and a 64-byte aligned buffer that goes back to its [`Pool`] when the last owner drops it.
//! - [`kernels`]: matrix product, convolution, per-channel reductions and element-wise maps. Each splits its
//!   work into parts whose boundaries depend on the shapes only, so the bits of a result do not depend on the
//!   number of threads.
//! - [`Rng`]: a stated, stable random stream, addressed by what it is for.
//!
//! Activations are NHWC (batch, height, width, channels), channels contiguous.
//!
//! ```
//! use sph_tensor::{Array, Pool, Shape};
//! let pool = Pool::<f32>::new();
//! let a = Array::from_slice(&pool, Shape::new(&[2, 3]), &[1., 2., 3., 4., 5., 6.]);
//! assert_eq!(a.shape().dims(), &[2, 3]);
//! assert_eq!(a.as_slice()[4], 5.0);
//! ```

mod array;
mod element;
mod error;
pub mod kernels;
mod parallel;
mod pool;
mod rng;
mod shape;
mod special;

pub use array::Array;
pub use element::{DType, Element};
pub use error::ShapeError;
pub use parallel::{by_samples, configure_threads};
pub use pool::{Pool, PoolStats};
pub use rng::Rng;
pub use shape::Shape;
