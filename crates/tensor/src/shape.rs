//! Shapes of up to eight dimensions, without allocation.

use std::fmt;

/// Six axes that a network names, as windows of windows have them, a batch of its own, and one of probes.
const MAX_RANK: usize = 8;

/// The dimensions of an array, row-major: the last one is contiguous in memory. At most eight of them.
///
/// ```
/// let s = sph_tensor::Shape::new(&[8, 4, 4, 16]);
/// assert_eq!((s.rank(), s.len(), s.last()), (4, 2048, 16));
/// assert_eq!(s.prepend(3).dims(), &[3, 8, 4, 4, 16]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// A shape with the given dimensions.
    ///
    /// # Panics
    /// With more than eight dimensions, which no caller in this project passes on from a user.
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "an array has at most {MAX_RANK} dimensions, not {}", dims.len());
        let mut d = [1; MAX_RANK];
        d[..dims.len()].copy_from_slice(dims);
        Shape { dims: d, rank: dims.len() }
    }

    /// The shape of a single number: no dimensions, one element.
    pub fn scalar() -> Self {
        Shape::new(&[])
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many elements there are.
    #[allow(clippy::len_without_is_empty)] // a shape has no notion of empty that a caller needs
    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// The last dimension (channels or features); 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        self.dims().split_last().map_or(1, |(_, d)| d.iter().product())
    }

    /// The same dimensions with one more in front: a tangent's probe axis.
    pub fn prepend(&self, first: usize) -> Self {
        let mut d = [1; MAX_RANK];
        d[0] = first;
        d[1..=self.rank].copy_from_slice(self.dims());
        Shape::new(&d[..=self.rank])
    }

    /// The dimensions without the first.
    pub fn without_first(&self) -> Self {
        Shape::new(self.dims().split_first().map_or(&[][..], |(_, d)| d))
    }

    /// The same dimensions with the first one multiplied: probes folded into the batch.
    pub fn scale_first(&self, factor: usize) -> Self {
        let mut s = *self;
        s.dims[0] *= factor;
        s
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;
    fn index(&self, i: usize) -> &usize {
        &self.dims()[i]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, d) in self.dims().iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "×" })?;
        }
        write!(f, "]")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
