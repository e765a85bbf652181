//! The peak throughput of the machine, which measured speeds are compared with.

use super::map;
use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Independent sums: enough to hide the latency of a multiply-add on two units.
const SUMS: usize = 12;
const ROUNDS: usize = 1 << 16;

struct MultiplyAdds {
    rounds: usize,
}

impl WithSimd for MultiplyAdds {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (a, b) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(0.25)));
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, a, b);
            }
        }
        black_box(sums);
        2 * self.rounds * SUMS * S::F32_LANES
    }
}

/// Multiply-adds in f32 on registers alone, with the widest vectors of the CPU, on the calling thread: a few milliseconds of
/// them. Returns the number of floating-point operations, two a multiply-add.
pub fn multiply_adds() -> usize {
    Arch::new().dispatch(MultiplyAdds { rounds: ROUNDS })
}

/// The instruction set whose vectors loops and kernels of this process use at most.
struct Name;

impl WithSimd for Name {
    type Output = &'static str;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> &'static str {
        match (S::F32_LANES, std::any::type_name::<S>()) {
            (16, _) => "AVX-512",
            (8, _) => "AVX2 and FMA",
            (4, name) if name.contains("Neon") => "Neon",
            (4, _) => "vectors of 128 bits",
            _ => "no vectors",
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
                    done += Arch::new().dispatch(MultiplyAdds { rounds: SHORT });
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
        Peak { operations, bytes, instructions: Arch::new().dispatch(Name) }
    }
}

/// The length of a round: so short that often no other process disturbs it.
const WINDOW: Duration = Duration::from_millis(2);

/// Multiply-adds between two readings of the clock: some tens of microseconds.
const SHORT: usize = 1 << 12;

/// Numbers that are copied: 64 MiB.
const COPIED: usize = 1 << 24;
