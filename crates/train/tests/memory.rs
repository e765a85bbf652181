//! A warm training step takes every large buffer from the pool, curvature included, and memory is flat over 500 steps.

// A counting allocator cannot be written without implementing `GlobalAlloc`; it forwards everything to the system's.
#![allow(unsafe_code)]

use sph_nn::models::{self, ModelConfig};
use sph_optim::Rule;
use sph_optim::presets::{Sgd, SphDrs};
use sph_optim::second_order_blocks;
use sph_optim::{Curvature, Optimizer};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::{Batch, Objective};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const LARGE: usize = 64 * 1024;

struct Counting;

static WATCHING: AtomicBool = AtomicBool::new(false);
static FOUND: Mutex<Vec<(usize, String)>> = Mutex::new(Vec::new());

thread_local! {
    /// Recording an allocation allocates.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn record(size: usize) {
    if size < LARGE || !WATCHING.load(Ordering::Relaxed) || INSIDE.replace(true) {
        return;
    }
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    FOUND.lock().unwrap().push((size, trace));
    INSIDE.set(false);
}

// SAFETY: every call is forwarded to the system's allocator with its arguments unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        record(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: the counters are global.
static ALONE: Mutex<()> = Mutex::new(());

struct Fixture {
    f: Objective<f32>,
    batch: Batch<f32>,
    optimizer: Optimizer<f32>,
}

fn fixture(model: &str, size: usize, images: usize, sph: bool) -> Fixture {
    let config = ModelConfig::new(3, (size, size), 10);
    let pool = Pool::new();
    let f = Objective::new(models::build(model, &config).unwrap(), &pool, 0);
    let mut rng = Rng::new(1, "memory", 0, 0);
    let mut x = Array::stale(&pool, Shape::new(&[images, size, size, 3]));
    x.make_mut().iter_mut().for_each(|v| *v = rng.normal() as f32);
    let batch = Batch::new(x, (0..images).map(|_| rng.below(10) as u32).collect::<Vec<u32>>());
    let optimizer =
        if sph { SphDrs::default().build(f.params()) } else { Sgd::default().build(f.params()) }.unwrap();
    Fixture { f, batch, optimizer }
}

impl Fixture {
    fn steps(&mut self, n: usize) {
        for _ in 0..n {
            self.f.set_batch(self.batch.clone());
            self.optimizer.step(&mut self.f, 0.001).unwrap();
        }
    }
}

#[test]
fn a_warm_step_makes_no_large_allocation() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    // 1,024 images: there even the logits and their softmax are large.
    for (model, size, images, sph) in [
        ("resnet8", 16, 32, false),
        ("resnet8", 16, 32, true),
        ("mlp", 4, 1024, false),
        ("mlp", 4, 1024, true),
    ] {
        let mut t = fixture(model, size, images, sph);
        let cycle = second_order_blocks(t.f.params()).len();
        // Twice: in the first cycle the averages of later blocks do not exist yet.
        t.steps(2 * cycle);
        let before = t.f.pool().stats();
        WATCHING.store(true, Ordering::Relaxed);
        t.steps(cycle);
        WATCHING.store(false, Ordering::Relaxed);
        let found = std::mem::take(&mut *FOUND.lock().unwrap());
        // The gemm crate packs its operands into buffers of its own.
        let ours: Vec<_> = found.iter().filter(|(_, trace)| !trace.contains("gemm_common::")).collect();
        assert!(
            ours.is_empty(),
            "{} large allocations, the first of {} bytes at\n{}",
            ours.len(),
            ours[0].0,
            ours[0].1
        );
        let after = t.f.pool().stats();
        assert_eq!((before.allocations, before.bytes), (after.allocations, after.bytes), "the pool grew");
    }
}

#[test]
fn the_watch_sees_a_large_allocation() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    WATCHING.store(true, Ordering::Relaxed);
    let v = std::hint::black_box(vec![1u8; LARGE]);
    WATCHING.store(false, Ordering::Relaxed);
    drop(v);
    let found = std::mem::take(&mut *FOUND.lock().unwrap());
    assert!(found.iter().any(|(size, _)| *size == LARGE));
}

#[test]
fn memory_is_flat_over_500_steps() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let mut t = fixture("resnet8", 8, 16, true);
    t.steps(2 * second_order_blocks(t.f.params()).len());
    let (pool, rss) = (t.f.pool().stats(), resident());
    t.steps(500);
    assert_eq!(t.f.pool().stats().bytes, pool.bytes);
    assert_eq!(t.f.pool().stats().live_bytes, pool.live_bytes);
    // Fragmentation of small allocations may move a few pages; a leaked activation would be 500 × 64 KiB.
    assert!(resident() < rss + (4 << 20), "{} -> {}", rss, resident());
}

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
