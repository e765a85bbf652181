//! The peak throughput of the machine, which measured speeds are compared with.

// A set's instructions run only where the CPU has them.
#![allow(unsafe_code)]

use super::isa::{Isa, Vector, baseline, isa};
#[cfg(target_arch = "x86_64")]
use super::isa::{avx2, avx512};
use super::map;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Independent sums: enough to hide the latency of a multiply-add on two units.
const SUMS: usize = 12;

/// Rounds of multiply-adds on registers alone; returns the number of floating-point operations, two a multiply-add.
#[inline(always)]
fn rounds<V: Vector<Element = f32>>(count: usize) -> usize {
    let (a, b) = (V::splat(black_box(0.5)), V::splat(black_box(0.25)));
    let mut sums = [V::zero(); SUMS];
    for _ in 0..count {
        for sum in &mut sums {
            *sum = sum.multiply_add(a, b);
        }
    }
    black_box(sums);
    2 * count * SUMS * V::LANES
}

/// `count` rounds of multiply-adds in f32 with the vectors in force, on the calling thread.
fn multiply_adds(count: usize) -> usize {
    // SAFETY: only an instruction set that the CPU has is ever in force.
    unsafe {
        match isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::F32::vectorize(
                #[inline(always)]
                || rounds::<avx512::F32>(count),
            ),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::F32::vectorize(
                #[inline(always)]
                || rounds::<avx2::F32>(count),
            ),
            _ => baseline::F32::vectorize(
                #[inline(always)]
                || rounds::<baseline::F32>(count),
            ),
        }
    }
}

/// The peak throughput of all threads of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Floating-point operations per second in multiply-adds on registers.
    pub operations: f64,
    /// Bytes read and written per second in copying arrays that no cache holds.
    pub bytes: f64,
    /// The instruction set that reached it.
    pub instructions: &'static str,
}

impl Peak {
    /// Measures both, for about half a second: the best of many short rounds, since others only ever slow a machine down, and a core that
    /// was idle needs time to reach its clock. A round of multiply-adds is a window of time that is the same for all threads; one that
    /// begins late has done less.
    pub fn measure() -> Self {
        let (start, mut operations) = (Instant::now(), 0.0f64);
        while start.elapsed() < Duration::from_millis(300) {
            let begin = Instant::now() + Duration::from_micros(50);
            let rates = rayon::broadcast(|_| {
                while Instant::now() < begin {
                    std::hint::spin_loop();
                }
                let mut done = 0;
                while begin.elapsed() < WINDOW {
                    done += multiply_adds(SHORT);
                }
                done as f64 / begin.elapsed().as_secs_f64()
            });
            operations = operations.max(rates.into_iter().sum());
        }
        let (from, mut to) = (vec![1.0f32; COPIED], vec![0.0f32; COPIED]);
        let (start, mut bytes) = (Instant::now(), 0.0f64);
        while start.elapsed() < Duration::from_millis(200) {
            let round = Instant::now();
            map::unary(&mut to, &from, |x| x);
            bytes = bytes.max(2.0 * size_of_val(&from[..]) as f64 / round.elapsed().as_secs_f64());
        }
        Peak { operations, bytes, instructions: isa().title() }
    }
}

/// The length of a round: so short that often no other process disturbs it.
const WINDOW: Duration = Duration::from_millis(2);

/// Multiply-adds between two readings of the clock: some tens of microseconds.
const SHORT: usize = 1 << 12;

/// Numbers that are copied: 64 MiB.
const COPIED: usize = 1 << 24;
