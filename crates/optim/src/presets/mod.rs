//! Whole optimizers, one file each, and their table. A new one is a file here, with its row, and the row's name in `ROWS`.

mod ada_hessian;
mod adam;
mod adamw;
mod drs;
mod kfac;
mod krylov;
mod sgd;
mod sph_drs;

pub use crate::row::{Build, Context, Row, Task};
pub use crate::transforms::DrsConfig as Drs;
pub use ada_hessian::AdaHessian;
pub use adam::Adam;
pub use adamw::AdamW;
pub use kfac::Kfac;
pub use krylov::Krylov;
pub use sgd::Sgd;
pub use sph_drs::SphDrs;

use crate::SettingsError;
use crate::settings::{Setting, named};
use std::sync::{PoisonError, RwLock};

/// The optimizers of this crate.
const ROWS: &[&Row] = &[
    &sph_drs::ROW,
    &krylov::ROW,
    &sgd::ROW,
    &adam::ROW,
    &adamw::ROW,
    &ada_hessian::ROW,
    &kfac::ROW,
    &drs::ROW,
];

/// Those of programs that use it.
static REGISTERED: RwLock<Vec<&'static Row>> = RwLock::new(Vec::new());

/// The rule for the rest of an optimizer with two halves.
pub const FIRST_ORDER: Setting = Setting::one_of(
    "first-order",
    "What is done with the parameters that are not second-order blocks",
    || named(all().iter().filter(|r| r.is_rule()).map(|r| (r.name, r.about))),
);

/// All optimizers: those of this crate, then those that were registered.
pub fn all() -> Vec<&'static Row> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    ROWS.iter().chain(registered.iter()).copied().collect()
}

/// Adds an optimizer to the table, for flags, files and comparisons of this process. To be called before they are read.
///
/// # Panics
/// When an optimizer of that name is there: a mistake in the program.
pub fn register(row: &'static Row) {
    assert!(find(row.name).is_err(), "there is an optimizer '{}' already", row.name);
    REGISTERED.write().unwrap_or_else(PoisonError::into_inner).push(row);
}

/// The optimizer of that name.
///
/// # Errors
/// Naming those that there are.
pub fn find(name: &str) -> Result<&'static Row, SettingsError> {
    let all = all();
    let known = || all.iter().map(|r| r.name.to_string()).collect();
    all.iter().find(|r| r.name == name).copied().ok_or_else(|| SettingsError::Unknown {
        kind: "optimizer",
        name: name.into(),
        known: known(),
    })
}
