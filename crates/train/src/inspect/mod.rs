//! How diagonal is a network's curvature? The measuring behind `sph inspect`; docs/inspect.md says how to read it.
//!
//! [`inspect`] looks at an [`Objective`](crate::Objective) on one or several batches: for every second-order block at the Hessian H and at
//! the empirical Fisher block F, for the whole network at trace, eigenvalues and spectral density. It prints nothing and changes nothing.

mod figure;
mod inspection;
mod measure;
mod quantities;
mod settings;

pub use figure::{Figure, Spread};
pub use inspection::{BlockFigures, DensityFigures, Eigenvalue, Entries, Inspection, NetworkFigures};
pub use measure::inspect;
pub use quantities::{QUANTITIES, Quantity};
pub use settings::{InspectionSettings, NetworkSettings};
