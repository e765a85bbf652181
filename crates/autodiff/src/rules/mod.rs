//! Rules that whole families of ops share: an op of such a family states its maps, and the four rules follow.

mod bilinear;
mod linear;

pub use bilinear::{Bilinear, BilinearOp};
pub use linear::{Linear, LinearOp};
