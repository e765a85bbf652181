//! What was found, as text, CSV and pages: rendering alone, no measuring and no files.
//!
//! - [`run`]: the page of a training, and the curves of several over each other.
//! - [`compare`], [`trials`]: a comparison of optimizers, and how their settings were chosen.
//! - [`inspect`]: a network's curvature.
//! - [`corruption`], [`sheet`]: what corruptions look like.
//!
//! Pages need no network and no script.

mod charts;
pub mod compare;
pub mod corruption;
mod error;
pub mod inspect;
mod machine;
mod overlay;
mod page;
pub mod run;
pub mod sheet;
mod text;
pub mod trials;

pub use error::{Error, Result};
pub use text::aligned;
