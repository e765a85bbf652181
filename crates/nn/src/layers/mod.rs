//! Layers with weights.

mod attention;
mod conv2d;
mod dropout;
mod linear;
mod patch_embed;
mod two_layers;
mod weights;

pub use attention::Attention;
pub use conv2d::{Conv2d, Geometry};
pub use dropout::Dropout;
pub use linear::Linear;
pub use patch_embed::PatchEmbed;
pub use two_layers::TwoLayers;
pub use weights::Followed;
