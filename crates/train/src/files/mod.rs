//! Files that a run leaves and goes on from.

mod checkpoint;
mod foreign;
mod graph_file;
mod model_file;
mod progress;
mod run_folder;
mod run_result;
mod state;
mod table;
mod tensors;
mod write;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::save as save_checkpoint;
pub use graph_file::GraphFile;
pub use model_file::{ModelFile, save_model};
pub use progress::{Best, EpochSums, Progress};
pub use run_folder::RunFolder;
pub use run_result::RunResult;
pub(crate) use state::state_tensors;
pub use table::{Row, Table};
pub use tensors::{Tensor, to_safetensors};
#[cfg(test)]
pub(crate) use write::MOMENTS;
pub use write::{check_outputs, check_writable, write_atomically};
