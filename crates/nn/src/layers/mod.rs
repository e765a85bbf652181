//! Layers with weights.

mod attention;
mod conv2d;
mod dropout;
mod feed_forward;
mod linear;
mod patch_embed;
mod weights;

pub use attention::Attention;
pub use conv2d::{Conv2d, Geometry};
pub use dropout::Dropout;
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use patch_embed::PatchEmbed;
pub use weights::Followed;
