//! Whole optimizers, one file each, and their table. A new one is a file here and a row of [`PRESETS`].

mod ada_hessian;
mod adam;
mod adamw;
mod kfac;
mod krylov;
mod sgd;
mod sph_drs;

pub use ada_hessian::AdaHessian;
pub use adam::Adam;
pub use adamw::AdamW;
pub use kfac::Kfac;
pub use krylov::Krylov;
pub use sgd::Sgd;
pub use sph_drs::{FirstOrder, SphDrs};

/// Settings that do not make sense together, or for these parameters; says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub(crate) String);

/// A row of the table of optimizers.
pub struct PresetRow {
    /// The name users give.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its usual learning rate.
    pub lr: f64,
    /// Its usual weight decay on weights.
    pub weight_decay: f64,
}

/// All optimizers.
pub const PRESETS: &[PresetRow] = &[
    PresetRow {
        name: "sph",
        about: "SPH-DRS: Newton-type on 1-D blocks, SGD on the rest (or --first-order)",
        lr: 0.1,
        weight_decay: 5e-4,
    },
    PresetRow {
        name: "krylov",
        about: "saddle-free Newton in a Krylov space of all 1-D blocks together, SGD on the rest",
        lr: 0.1,
        weight_decay: 5e-4,
    },
    PresetRow { name: "sgd", about: "SGD with momentum", lr: 0.1, weight_decay: 5e-4 },
    PresetRow { name: "adam", about: "Adam, L2 inside its averages", lr: 1e-3, weight_decay: 0.0 },
    PresetRow { name: "adamw", about: "AdamW", lr: 1e-3, weight_decay: 0.05 },
    PresetRow {
        name: "adahessian",
        about: "AdaHessian: diagonal by Hutchinson's probes over all parameters",
        lr: 0.15,
        weight_decay: 5e-4,
    },
    PresetRow {
        name: "kfac",
        about: "K-FAC: Kronecker factors of the true Fisher on layers with weights",
        lr: 0.01,
        weight_decay: 5e-4,
    },
];

use sph_autodiff::ParamSpec;

/// Numbers of the trained parameters whose spec satisfies `f`.
fn select(specs: &[ParamSpec], f: impl Fn(&ParamSpec) -> bool) -> Vec<usize> {
    specs.iter().enumerate().filter(|(_, s)| !s.frozen && f(s)).map(|(i, _)| i).collect()
}
