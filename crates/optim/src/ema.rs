//! Exponential moving averages of arrays.

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
    pub(crate) fn observe(&mut self, decay: f64, new: &Array<T>) {
        let value = self.value.get_or_insert_with(|| Array::zeros(new.pool(), new.shape()));
        let (decay, rest) = (T::from_f64(decay), T::from_f64(1.0 - decay));
        map::update(value.make_mut(), new.as_slice(), |old, new| decay * old + rest * new);
        self.count += 1;
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
