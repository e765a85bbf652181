//! The results of a comparison as tables, as CSV and as a page.

mod csv;
mod page;
mod provenance;
mod table;

pub use csv::{configurations_csv, runs_csv};
pub use page::page;
pub use provenance::Provenance;
pub use table::table;
