//! Arrays: a shape and shared, pooled, aligned storage.

use crate::pool::Storage;
use crate::{Element, Pool, Shape};
use std::sync::Arc;

/// A row-major array. Cloning shares the buffer; writing needs sole ownership ([`Array::make_mut`] copies
/// when shared). The buffer goes back to its pool when the last owner is dropped.
#[derive(Debug, Clone)]
pub struct Array<T: Element> {
    shape: Shape,
    buffer: Arc<Buffer<T>>,
}

#[derive(Debug)]
struct Buffer<T: Element> {
    data: Storage<T>,
    pool: Pool<T>,
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.pool.give(std::mem::replace(&mut self.data, Storage::new(64)));
    }
}

impl<T: Element> Array<T> {
    /// An array whose contents are stale: every element must be written before it is read. (Memory is
    /// initialised; debug builds fill it with NaN to show a forgotten write.)
    pub fn stale(pool: &Pool<T>, shape: Shape) -> Self {
        Array { shape, buffer: Arc::new(Buffer { data: pool.take(shape.len()), pool: pool.clone() }) }
    }

    /// An array filled with `value`.
    pub fn full(pool: &Pool<T>, shape: Shape, value: T) -> Self {
        let mut a = Self::stale(pool, shape);
        a.make_mut().fill(value);
        a
    }

    /// An array of zeros.
    pub fn zeros(pool: &Pool<T>, shape: Shape) -> Self {
        Self::full(pool, shape, T::ZERO)
    }

    /// A copy of `values`.
    ///
    /// # Panics
    /// If `values` does not have `shape.len()` elements.
    pub fn from_slice(pool: &Pool<T>, shape: Shape, values: &[T]) -> Self {
        assert_eq!(values.len(), shape.len(), "values for shape {shape}");
        let mut a = Self::stale(pool, shape);
        a.make_mut().copy_from_slice(values);
        a
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The pool this array's buffer belongs to.
    pub fn pool(&self) -> &Pool<T> {
        &self.buffer.pool
    }

    /// The elements, row-major.
    pub fn as_slice(&self) -> &[T] {
        &self.buffer.data[..self.shape.len()]
    }

    /// The elements for writing; copies them first when the buffer is shared.
    pub fn make_mut(&mut self) -> &mut [T] {
        if Arc::get_mut(&mut self.buffer).is_none() {
            let pool = self.buffer.pool.clone();
            let mut data = pool.take(self.shape.len());
            data[..self.shape.len()].copy_from_slice(self.as_slice());
            self.buffer = Arc::new(Buffer { data, pool });
        }
        let len = self.shape.len();
        &mut Arc::get_mut(&mut self.buffer).expect("sole owner").data[..len]
    }

    /// The same elements under another shape, without a copy.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn reshape(&self, shape: Shape) -> Self {
        assert_eq!(shape.len(), self.shape.len(), "reshape {} to {shape}", self.shape);
        Array { shape, buffer: self.buffer.clone() }
    }

    /// Part `k` of `K` equal parts along the first axis, as a slice: one probe of a tangent.
    pub fn part(&self, k: usize) -> &[T] {
        let n = self.shape.without_first().len();
        &self.as_slice()[k * n..(k + 1) * n]
    }

    /// Adds `other` element by element, in place where the buffer is not shared.
    pub fn accumulate(&mut self, other: &Array<T>) {
        debug_assert_eq!(self.shape, other.shape);
        if Arc::get_mut(&mut self.buffer).is_some() {
            crate::kernels::map::update(self.make_mut(), other.as_slice(), |a, b| a + b);
        } else {
            let mut sum = Array::stale(self.pool(), self.shape);
            crate::kernels::map::binary(sum.make_mut(), self.as_slice(), other.as_slice(), |a, b| a + b);
            *self = sum;
        }
    }

    /// The elements as `f64`.
    pub fn to_f64(&self) -> Vec<f64> {
        self.as_slice().iter().map(|v| v.to_f64()).collect()
    }
}
