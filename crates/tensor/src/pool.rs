//! The buffer pool: once warm, a training step takes every buffer from here and the allocator is not called.

use crate::Element;
use aligned_vec::{AVec, ConstAlign};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Fresh pages are expensive (about 25 ms per 64 MiB), and 64 bytes is a cache line and an AVX-512 register.
pub(crate) type Storage<T> = AVec<T, ConstAlign<64>>;

/// A set of free buffers, shared by clones of the handle and safe to use from several threads.
///
/// Buffers are kept by size class (at most 1/8 larger than asked for) and returned when the last [`crate::Array`] that
/// owns one is dropped. They are initialised memory whose contents are stale.
#[derive(Debug)]
pub struct Pool<T: Element>(Arc<Mutex<Inner<T>>>);

#[derive(Debug)]
struct Inner<T: Element> {
    free: BTreeMap<usize, Vec<Storage<T>>>,
    stats: PoolStats,
}

/// Counts of allocations and bytes of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Buffers that had to be allocated because none was free.
    pub allocations: usize,
    /// Bytes of all buffers this pool allocated and has not given back to the allocator.
    pub bytes: usize,
    /// Bytes of the buffers in use.
    pub live_bytes: usize,
    /// The largest `live_bytes` so far.
    pub peak_bytes: usize,
}

impl<T: Element> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Pool(self.0.clone())
    }
}

impl<T: Element> Default for Pool<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The smallest size class that holds `len`: eight classes an octave, at least one cache line.
fn size_class(len: usize) -> usize {
    let len = len.max(16);
    let step = (len.next_power_of_two() / 16).max(16);
    len.div_ceil(step) * step
}

impl<T: Element> Pool<T> {
    /// An empty pool.
    pub fn new() -> Self {
        Pool(Arc::new(Mutex::new(Inner { free: BTreeMap::new(), stats: PoolStats::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        // The lock guards a list of free buffers; a panic elsewhere cannot leave it half-changed.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn take(&self, len: usize) -> Storage<T> {
        let class = size_class(len);
        let bytes = class * size_of::<T>();
        let mut inner = self.inner();
        inner.stats.live_bytes += bytes;
        inner.stats.peak_bytes = inner.stats.peak_bytes.max(inner.stats.live_bytes);
        let found = inner.free.get_mut(&class).and_then(Vec::pop);
        #[cfg_attr(not(debug_assertions), allow(unused_mut))]
        let mut data = match found {
            Some(data) => data,
            None => {
                inner.stats.allocations += 1;
                inner.stats.bytes += bytes;
                drop(inner);
                let mut fresh = Storage::with_capacity(64, class);
                fresh.resize(class, T::ZERO);
                fresh
            }
        };
        // A kernel that leaves part of its output unwritten shows in every debug test.
        #[cfg(debug_assertions)]
        data[..len].fill(T::from_f64(f64::NAN));
        data
    }

    pub(crate) fn give(&self, data: Storage<T>) {
        let class = data.len();
        let mut inner = self.inner();
        inner.stats.live_bytes -= class * size_of::<T>();
        inner.free.entry(class).or_default().push(data);
    }

    /// Counts of allocations and bytes.
    pub fn stats(&self) -> PoolStats {
        self.inner().stats
    }

    /// Gives every free buffer back to the allocator.
    pub fn trim(&self) {
        let mut inner = self.inner();
        let freed: usize = inner.free.values().flatten().map(|b| b.len() * size_of::<T>()).sum();
        inner.stats.bytes -= freed;
        inner.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Array, Shape};

    #[test]
    fn a_dropped_buffer_is_handed_out_again() {
        let pool = Pool::<f32>::new();
        let a = Array::zeros(&pool, Shape::new(&[100]));
        let address = a.as_slice().as_ptr();
        drop(a);
        let b = Array::zeros(&pool, Shape::new(&[97]));
        assert_eq!(b.as_slice().as_ptr(), address);
        assert_eq!(address.align_offset(64), 0);
        assert_eq!(pool.stats().allocations, 1);
    }

    #[test]
    fn a_size_class_wastes_at_most_an_eighth() {
        for len in 256..20_000 {
            let class = size_class(len);
            assert!(class >= len && class <= len + len / 8 + 16, "{len} -> {class}");
        }
    }
}
