//! Fixed partitions: where work is split depends on shapes, never on the number of threads.
//!
//! A part may run such loops itself. While it waits for them its thread may begin another part of the outer loop, so a part must not
//! hold anything that another one waits for.

use crate::{Array, Element, Pool, Shape};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

/// Below this many elements a parallel loop costs more than it saves.
const SERIAL_BELOW: usize = 16 * 1024;
/// Elements a part of an element-wise loop holds: fits the first-level cache several times over.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Sets the number of worker threads for the whole process. The calling thread is one of them.
///
/// # Errors
/// When threads were configured before.
pub fn configure_threads(threads: usize) -> Result<(), String> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        // A caller outside the pool would have to wake a worker for every kernel.
        .use_current_thread()
        .build_global()
        .map_err(|e| e.to_string())
}

/// Runs `f(0), …, f(parts − 1)`, in parallel when `work` (elements touched) makes it worthwhile.
pub(crate) fn for_parts(parts: usize, work: usize, f: impl Fn(usize) + Sync) {
    shared_parts(parts, work, &f);
}

/// One loop for all functions: compiled for each it would be most of what a build does, and a call for each part costs nothing beside it.
fn shared_parts(parts: usize, work: usize, f: &(dyn Fn(usize) + Sync)) {
    if parts <= 1 || work < SERIAL_BELOW {
        (0..parts).for_each(f);
    } else {
        (0..parts).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// Splits `out` into parts of `size` elements and runs `f(part index, part)`.
pub(crate) fn for_chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let work = out.len();
    for_chunks_of_work(out, size, work, f);
}

/// As [`for_chunks`], for parts whose work does not follow from their size; `work` is that of all (elements touched or multiply-adds).
pub(crate) fn for_chunks_of_work<T: Send>(
    out: &mut [T],
    size: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    shared_chunks(out, size, work, &f);
}

/// As [`shared_parts`].
fn shared_chunks<T: Send>(out: &mut [T], size: usize, work: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    if out.len() <= size || work < SERIAL_BELOW {
        out.chunks_mut(size).enumerate().for_each(|(i, c)| f(i, c));
    } else {
        out.par_chunks_mut(size).enumerate().with_max_len(1).for_each(|(i, c)| f(i, c));
    }
}

/// As [`for_chunks_of_work`], with `scratch` elements of stale memory for every part. One buffer per worker is taken from
/// the pool beforehand, so that what is allocated does not depend on how the parts happen to overlap; more are taken only where parts
/// run loops of their own.
pub(crate) fn for_chunks_with_scratch<U: Send, T: Element>(
    out: &mut [U],
    size: usize,
    work: usize,
    pool: &Pool<T>,
    scratch: usize,
    f: impl Fn(usize, &mut [U], &mut [T]) + Sync,
) {
    let fresh = || Array::stale(pool, Shape::new(&[scratch]));
    let free = Mutex::new((0..rayon::current_num_threads()).map(|_| fresh()).collect::<Vec<_>>());
    // The lock is held to take and to give alone, never while a part runs.
    let buffers = || free.lock().unwrap_or_else(|e| e.into_inner());
    for_chunks_of_work(out, size, work, |i, part| {
        let taken = buffers().pop();
        let mut buffer = taken.unwrap_or_else(fresh);
        f(i, part, buffer.make_mut());
        buffers().push(buffer);
    });
}

/// Runs `f` on fixed runs of `samples` equal slices of `out` (or on none, when `out` is not wanted) and returns the results
/// in order: about 16 runs, whatever the number of threads. `f` gets the run and its part of `out`.
pub fn by_samples<T: Element, R: Send + Sync>(
    out: Option<&mut [T]>,
    samples: usize,
    work: usize,
    f: impl Fn(Range<usize>, Option<&mut [T]>) -> R + Sync,
) -> Vec<R> {
    let run = samples.div_ceil(16).max(1);
    let range = |i: usize| i * run..((i + 1) * run).min(samples);
    let slots: Vec<OnceLock<R>> = (0..samples.div_ceil(run)).map(|_| OnceLock::new()).collect();
    match out {
        Some(out) => {
            let size = out.len() / samples.max(1);
            for_chunks_of_work(out, (run * size).max(1), work, |i, part| {
                drop(slots[i].set(f(range(i), Some(part))))
            });
        }
        None => for_parts(slots.len(), work, |i| drop(slots[i].set(f(range(i), None)))),
    }
    slots.into_iter().filter_map(OnceLock::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts that run loops of their own: a thread that waits begins another part, which needs scratch memory too.
    #[test]
    fn parts_with_scratch_may_nest() {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let (done, ended) = std::sync::mpsc::channel();
        threads.spawn(move || {
            let pool = Pool::<f64>::new();
            let mut out = vec![0.0; 256 * 512];
            for_chunks_with_scratch(&mut out, 512, 1 << 20, &pool, 8, |i, part, scratch| {
                scratch.fill(i as f64);
                let mut inner = vec![0.0; 8 * 512];
                for_chunks_of_work(&mut inner, 512, 1 << 20, |j, part| {
                    std::thread::sleep(std::time::Duration::from_millis((i + j) as u64 % 3));
                    part.fill(j as f64);
                });
                // No other part wrote to it.
                assert!(scratch.iter().all(|s| *s == i as f64));
                part.fill(inner[512] + scratch[0]);
            });
            let right = (0..256).all(|i| out[i * 512] == 1.0 + i as f64);
            done.send(right).unwrap();
        });
        let right = ended.recv_timeout(std::time::Duration::from_secs(30));
        assert!(right.expect("parts wait for one another"));
    }
}
