//! Settings: flags, the TOML file they override, and what they mean together.

mod adapt;
mod augment;
mod average;
mod data;
mod file;
mod group;
mod kernel;
mod model;
mod normalisation;
mod optimizer;
mod optimizer_help;
mod record;
mod schedule;
mod source;
mod train;
mod values;

pub use adapt::AdaptArgs;
pub use augment::AugmentArgs;
pub use average::AverageArgs;
pub use data::DatasetArgs;
use file::flags_of_settings;
pub use file::flags_of_toml;
pub(crate) use file::{SettingsFile, canonical, keys, repeats};
pub use group::GroupArgs;
pub use kernel::KernelArgs;
pub use model::ModelArgs;
pub(crate) use model::{norm, refuse_own};
pub use normalisation::NormalisationArgs;
pub use optimizer::OptArgs;
pub(crate) use optimizer::{is_of_optimizer, optimizer_flags, optimizer_names};
pub(crate) use record::{by_name, difference, for_shell, shell_word, shown};
pub use schedule::ScheduleArgs;
pub use source::ModelSource;
pub(crate) use train::NOT_SETTINGS;
pub use train::TrainArgs;
pub(crate) use values::{
    between, count, dataset_names, decouple_names, model_names, pixels, positive, row, seed, sha256, threads,
    training_losses,
};
