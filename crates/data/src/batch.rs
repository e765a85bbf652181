//! What a step is taken on.

use sph_autodiff::ops::Targets;
use sph_tensor::{Array, Element, Shape};

/// Images NHWC, normalised as the network sees them, and their classes.
#[derive(Debug, Clone)]
pub struct Batch<T: Element> {
    /// [N, H, W, C].
    pub images: Array<T>,
    /// N class numbers, mixed or not.
    pub targets: Targets,
}

impl<T: Element> Batch<T> {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The first `n` images, at most as many as there are.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let mut dims = self.images.shape().dims().to_vec();
        dims[0] = n;
        let shape = Shape::new(&dims);
        let images = Array::from_slice(self.images.pool(), shape, &self.images.as_slice()[..shape.len()]);
        Batch { images, targets: self.targets.first(n) }
    }
}
