//! SPH-DRS: training networks with exact second-order steps where they are cheap.

mod objective;

pub use objective::{Batch, Objective};
