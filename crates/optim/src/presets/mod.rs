//! Whole optimizers, one file each, and their table. A new one is a file here and a row of [`PRESETS`].

mod adamw;
mod sgd;
mod sph_drs;

pub use adamw::AdamW;
pub use sgd::Sgd;
pub use sph_drs::SphDrs;

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
        about: "SPH-DRS: Newton-type on 1-D blocks, SGD on the rest",
        lr: 0.1,
        weight_decay: 5e-4,
    },
    PresetRow { name: "sgd", about: "SGD with momentum", lr: 0.1, weight_decay: 5e-4 },
    PresetRow { name: "adamw", about: "AdamW", lr: 1e-3, weight_decay: 0.05 },
];

use sph_nn::ParamSpec;

/// Parameter numbers whose spec satisfies `f`.
fn select(specs: &[ParamSpec], f: impl Fn(&ParamSpec) -> bool) -> Vec<usize> {
    specs.iter().enumerate().filter(|(_, s)| f(s)).map(|(i, _)| i).collect()
}
