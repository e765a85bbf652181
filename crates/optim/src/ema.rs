//! Exponential moving averages of arrays.

use crate::group::map_in_place;
use sph_tensor::{Array, Element, kernels::map};

/// `decay·old + (1−decay)·new`, starting from zero, with a count of its own updates.
#[derive(Debug, Clone)]
pub(crate) struct Ema<T: Element> {
    pub(crate) value: Option<Array<T>>,
    pub(crate) count: u64,
}

impl<T: Element> Default for Ema<T> {
    fn default() -> Self {
        Ema { value: None, count: 0 }
    }
}

impl<T: Element> Ema<T> {
    /// The average after `new`, in its buffer.
    pub(crate) fn after(&self, decay: f64, mut new: Array<T>) -> Self {
        let (decay, rest) = (T::from_f64(decay), T::from_f64(1.0 - decay));
        match &self.value {
            Some(old) => map::update(new.make_mut(), old.as_slice(), |new, old| decay * old + rest * new),
            None => map_in_place(&mut new, |new| decay * T::ZERO + rest * new),
        }
        Ema { value: Some(new), count: self.count + 1 }
    }

    /// What the value is divided by to undo the start from zero: 1 − decay^count.
    pub(crate) fn correction(&self, decay: f64) -> f64 {
        1.0 - power(decay, self.count)
    }
}

/// base^exponent by repeated squaring: the same bits on every platform.
pub(crate) fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut n) = (1.0, base, exponent);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}
