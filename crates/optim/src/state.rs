//! Named optimizer state, for checkpoints.

use sph_tensor::{Array, Element};
use std::collections::BTreeMap;

/// Optimizer state by name: arrays and whole numbers.
#[derive(Debug, Clone, Default)]
pub struct StateDict<T: Element> {
    /// Arrays, such as `weights.momentum.conv1.weight`.
    pub arrays: BTreeMap<String, Array<T>>,
    /// Counts, such as `steps`.
    pub numbers: BTreeMap<String, u64>,
}

/// State that does not belong to this optimizer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A tensor of the wrong shape.
    #[error("optimizer state '{name}' has {found} values, expected {expected}")]
    Size {
        /// The state's name.
        name: String,
        /// Values in the file.
        found: usize,
        /// Values this optimizer holds.
        expected: usize,
    },
    /// Something this optimizer needs and does not find.
    #[error("optimizer state '{0}' is missing")]
    Missing(String),
    /// Something this optimizer does not have.
    #[error("optimizer state '{0}' is unknown to this optimizer: was the run started with another one?")]
    Unknown(String),
}

impl<T: Element> StateDict<T> {
    /// Takes the array called `name`, if there is one.
    ///
    /// # Errors
    /// When its size is not that of `like`.
    pub fn take_array(&mut self, name: &str, like: &Array<T>) -> Result<Option<Array<T>>, StateError> {
        let Some(array) = self.arrays.remove(name) else { return Ok(None) };
        let (found, expected) = (array.shape().len(), like.shape().len());
        if found != expected {
            return Err(StateError::Size { name: name.to_string(), found, expected });
        }
        Ok(Some(array.reshape(like.shape())))
    }

    /// Takes the number called `name`, if there is one.
    pub fn take_number(&mut self, name: &str) -> Option<u64> {
        self.numbers.remove(name)
    }

    /// Takes the number called `name` of an optimizer that has taken `steps` steps; `start` where it has taken none and there is none.
    ///
    /// # Errors
    /// When there is none though steps were taken.
    pub fn take_number_after(&mut self, steps: u64, name: &str, start: u64) -> Result<u64, StateError> {
        match self.take_number(name) {
            Some(number) => Ok(number),
            None if steps == 0 => Ok(start),
            None => Err(StateError::Missing(name.to_string())),
        }
    }
}
