//! Networks: parameters with roles, layers, norms, losses and models.
//!
//! - [`Builder`]: collects parameters and buffers while a model is put together.
//! - [`Module`]: something that maps an activation to an activation on a tape.
//! - [`models::MODELS`]: the models by name; parameter names and layouts are torchvision's.
//!
//! ```
//! use sph_nn::{Forward, Mode, Module, Real, Store, models};
//! use sph_tensor::{Array, Pool, Shape};
//!
//! let config = models::ModelConfig::new(1, (8, 8), 10);
//! let network = models::build("resnet8", &config).unwrap();
//! let pool = Pool::<f32>::new();
//! let store = Store::init(&network, &pool, 0);
//! let mut f = Forward::new(&store, &pool, Mode::Eval);
//! let images = f.tape.constant(Array::zeros(&pool, Shape::new(&[2, 8, 8, 1])));
//! let logits = f32::module(&*network.model).forward(&mut f, &images).unwrap();
//! assert_eq!(logits.value().shape().dims(), &[2, 10]);
//! ```

mod builder;
pub mod graph;
mod layer;
pub mod layers;
pub mod losses;
pub mod models;
mod network;
pub mod norms;
mod param;
mod statistics;
mod store;

pub use builder::Builder;
pub use layer::{Forward, LayerError, Mode, Model, Module, Probes, Real};
pub use network::Network;
pub use param::{BufferKind, BufferSpec, Init};
pub use sph_autodiff::{ParamSpec, Role, SELECTION_WORDS, Selection, SelectionError};
pub use statistics::{NormStatistics, StatisticsSlot};
pub use store::{Store, row_norm};
