//! Optimizers: chains of small transforms with named state, over groups of parameters; and the curvature of 1-D
//! blocks.
//!
//! - [`Curvature`]: what an optimizer may ask about the loss. A tape implements it; so can any function
//!   (`examples/hand_written.rs`).
//! - [`Transform`]: says what it wants to know, then turns the answer into an update.
//! - [`presets`]: SPH-DRS, SGD, Adam, AdamW, AdaHessian, K-FAC.
//! - [`curvature`]: probes, rectifiers, the schedule of visits, averaging (docs/algorithm.md §4 and §5).
//! - [`analysis`]: blocks, diagonals, traces, eigenvalues and spectral densities of any loss's Hessian.
//! - [`lr`]: learning-rate schedules.

pub mod analysis;
pub mod curvature;
mod ema;
mod group;
pub mod lr;
pub mod presets;
mod state;
mod transform;
pub mod transforms;

pub use curvature::{Answer, Curvature, Directions, EvalError, Request, Sweep};
pub use group::{Group, Optimizer, StepReport};
pub use presets::SettingsError;
pub use sph_autodiff::{ParamSpec, Role, Selection};
pub use state::{StateDict, StateError};
pub use transform::{BlockReport, Overrides, Transform, UpdateContext};
