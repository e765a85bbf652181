//! Layers with weights.

mod conv2d;
mod linear;

pub use conv2d::Conv2d;
pub use linear::Linear;
