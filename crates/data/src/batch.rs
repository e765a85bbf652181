//! What a step is taken on.

use crate::answers::Answers;
use sph_tensor::{Array, Element, Shape};

/// What a network reads for some samples, and what it is to answer.
#[derive(Debug, Clone)]
pub struct Batch<T: Element> {
    /// The first input, samples first: images [N, H, W, C], normalised as the network sees them, or an array as it is.
    pub images: Array<T>,
    /// The other inputs, samples first, as they are.
    pub more: Vec<Array<T>>,
    /// What is to be answered.
    pub targets: Answers,
}

impl<T: Element> Batch<T> {
    /// Samples of one input.
    pub fn new(images: Array<T>, targets: impl Into<Answers>) -> Self {
        Batch { images, more: Vec::new(), targets: targets.into() }
    }

    /// The inputs alone: nothing is to be answered.
    pub fn of_inputs(images: Array<T>, more: Vec<Array<T>>) -> Self {
        Batch { images, more, targets: Answers::Nothing }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.images.shape()[0]
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of how many answers the mean loss is one: of so many tokens that are not ignored, else of so many samples.
    pub fn counted(&self) -> usize {
        self.targets.counted(self.len())
    }

    /// The first `n` samples, at most as many as there are.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let first = |array: &Array<T>| {
            let mut dims = array.shape().dims().to_vec();
            dims[0] = n;
            let shape = Shape::new(&dims);
            Array::from_slice(array.pool(), shape, &array.as_slice()[..shape.len()])
        };
        Batch {
            images: first(&self.images),
            more: self.more.iter().map(first).collect(),
            targets: self.targets.first(n, self.len()),
        }
    }
}
