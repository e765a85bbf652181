//! Extents that may be a multiple of the batch size.

use std::fmt;

/// So many, or so many for each sample of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// The number, or what the batch size is multiplied with.
    pub times: usize,
    /// It is a multiple of the batch size.
    pub batched: bool,
}

/// Stands for the batch size where extents are compared: a prime that no factor of a network's is.
const SYMBOL: u128 = 2_147_483_647;

impl Size {
    /// One.
    pub const ONE: Size = Size::fixed(1);
    /// The batch size.
    pub const BATCH: Size = Size { times: 1, batched: true };

    /// A fixed extent.
    pub const fn fixed(times: usize) -> Self {
        Size { times, batched: false }
    }

    /// The extent, where it is fixed.
    pub fn known(self) -> Option<usize> {
        (!self.batched).then_some(self.times)
    }

    /// Its value for a batch of `batch` samples.
    pub fn at(self, batch: usize) -> usize {
        if self.batched { self.times * batch } else { self.times }
    }

    /// A number that two sizes share only if they are equal for every batch size.
    pub fn symbolic(self) -> u128 {
        self.times as u128 * if self.batched { SYMBOL } else { 1 }
    }

    /// The size with this [`Size::symbolic`] number; `None` where it is no multiple of the batch size to the first power.
    pub fn of_symbolic(number: u128) -> Option<Self> {
        let batched = number != 0 && number.is_multiple_of(SYMBOL);
        let times = if batched { number / SYMBOL } else { number };
        let times = usize::try_from(times).ok().filter(|t| (*t as u128) < SYMBOL)?;
        Some(Size { times, batched })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.batched, self.times) {
            (false, n) => write!(f, "{n}"),
            (true, 1) => write!(f, "N"),
            (true, n) => write!(f, "{n}·N"),
        }
    }
}

/// The extents as people read them.
pub(crate) fn shown(sizes: &[Size]) -> String {
    format!("[{}]", sizes.iter().map(Size::to_string).collect::<Vec<_>>().join(", "))
}

/// The [`Size::symbolic`] number of elements; `None` where it is too large.
pub(crate) fn elements(sizes: &[Size]) -> Option<u128> {
    sizes.iter().try_fold(1u128, |n, s| n.checked_mul(s.symbolic()))
}

/// The extents for a batch of `batch` samples.
pub(crate) fn dims(sizes: &[Size], batch: usize) -> Vec<usize> {
    sizes.iter().map(|s| s.at(batch)).collect()
}
