//! Layers with weights.

mod conv2d;
mod linear;
mod weights;

pub use conv2d::{Conv2d, Geometry};
pub use linear::Linear;
pub use weights::Followed;
