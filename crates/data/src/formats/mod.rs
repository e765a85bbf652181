//! Files, one format each.

pub mod arrays;
pub mod idx;
pub mod image_file;
pub mod labels_csv;
pub mod npz;
pub mod safetensors;
