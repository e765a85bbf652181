//! Optimizers: chains of small transforms with named state, over groups of parameters; and the curvature of 1-D
//! blocks.
//!
//! - [`Curvature`]: what an optimizer may ask about the loss. A tape implements it; so can any function
//!   (`examples/hand_written.rs`).
//! - [`Transform`]: says what it wants to know, then turns the answer into an update.
//! - [`Rule`]: how parameters are moved; an optimizer is one, or two: for second-order blocks and for the rest.
//! - [`presets`]: SPH-DRS, SGD, Adam, AdamW, AdaHessian, K-FAC and more, and their table; [`settings`] and [`Choice`]: an optimizer by
//!   name and settings.
//! - [`curvature`]: probes, rectifiers, the schedule of visits, averaging (docs/algorithm.md §4 and §5).
//! - [`analysis`]: blocks, diagonals, traces, eigenvalues and spectral densities of any loss's Hessian.
//! - [`lr`]: learning-rate schedules.

pub mod analysis;
mod choice;
pub mod curvature;
mod ema;
mod group;
pub mod lr;
pub mod presets;
mod row;
mod rule;
mod setting;
pub mod settings;
mod settings_error;
mod state;
mod transform;
pub mod transforms;

pub use choice::{Choice, GroupSettings, REST, is_of_a_half};
pub use curvature::{Answer, Curvature, Directions, EvalError, Request, Sweep};
pub use group::{Group, Optimizer, StepReport};
pub use rule::{AnyRule, Rule, second_order_blocks};
pub use settings_error::SettingsError;
pub use sph_autodiff::{ParamSpec, Role, Selection};
pub use state::{StateDict, StateError};
pub use transform::{BlockReport, Overrides, Transform, UpdateContext};
