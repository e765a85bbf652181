//! Labelled images, and samples of other kinds: where they come from, how they are divided, changed and put into batches.
//!
//! - [`load`]: a data set by its name in the table [`sets::DATASETS`]; [`Dataset::new`]: one of your own.
//! - [`Division`]: which images are trained on and which are held out.
//! - [`loader::Source`]: batches, made ahead by a thread; [`augment`] changes them on the way.
//! - [`corrupt`]: corruptions of published kinds, for tests of robustness.
//! - [`fetch`]: downloads of published files.
//!
//! Settings are called by their names in backquotes in messages (`image-size`).
//!
//! ```
//! use sph_data::{DataOptions, load};
//! let digits = load("digits", &DataOptions::default()).unwrap();
//! assert_eq!((digits.train.len(), digits.test.len(), digits.classes()), (1437, 360, 10));
//! ```

mod answers;
pub mod augment;
mod batch;
mod classes;
pub mod corrupt;
mod dataset;
mod decoding;
mod error;
pub mod fetch;
pub mod files;
mod fit;
pub mod formats;
mod image_set;
mod interpolation;
pub mod loader;
mod options;
pub mod pictures;
mod preprocess;
pub mod sets;
mod split;

pub use answers::{AnswerKind, Answers, Column, IGNORED, Values, Wanted};
pub use batch::Batch;
pub use classes::{numbers_among, only_numbered};
pub use dataset::{Dataset, Normalisation};
pub use error::{DatasetError, Error, Result};
pub use fit::fit;
pub use image_set::{ImageSet, Pixels};
pub use interpolation::Interpolation;
pub use options::{DataOptions, InputKind, InputSpec, Layout};
pub use preprocess::Preprocessing;
pub use sets::{DEFAULT, load};
pub use split::{Division, part_of_each_class, sample};
