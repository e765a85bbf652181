//! What the machine can do at most, for comparison.

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

/// The instruction set whose vectors loops and kernels of this process use at most.
pub fn instruction_set() -> &'static str {
    Arch::new().dispatch(Name)
}

/// What the machine does at most on all threads of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Floating-point operations per second in multiply-adds on registers.
    pub operations: f64,
    /// Bytes read and written per second in copying arrays that no cache holds.
    pub bytes: f64,
    /// The instructions that did them.
    pub instructions: &'static str,
}

impl Peak {
    /// Measures both, for about half a second, on all threads at once; the best of many short rounds of each thread, since others only
    /// ever slow a machine down, and a core that was idle needs time to reach its clock.
    pub fn measure() -> Self {
        let operations = |_: rayon::BroadcastContext<'_>| {
            best(Duration::from_millis(300), || Arch::new().dispatch(MultiplyAdds { rounds: SHORT }))
        };
        let (from, mut to) = (vec![1.0f32; COPIED], vec![0.0f32; COPIED]);
        Peak {
            operations: rayon::broadcast(operations).into_iter().sum(),
            bytes: best(Duration::from_millis(200), || {
                map::unary(&mut to, &from, |x| x);
                2 * size_of_val(&from[..])
            }),
            instructions: instruction_set(),
        }
    }
}

/// The best amount a second of rounds of `work`, which says how much it did, over `time` and at least five rounds.
fn best(time: Duration, mut work: impl FnMut() -> usize) -> f64 {
    let (start, mut best, mut rounds) = (Instant::now(), 0.0f64, 0);
    while rounds < 5 || start.elapsed() < time {
        let round = Instant::now();
        let amount = work();
        best = best.max(amount as f64 / round.elapsed().as_secs_f64());
        rounds += 1;
    }
    best
}

/// Rounds of a measurement: some tens of microseconds, which are often left alone where a millisecond is not.
const SHORT: usize = 1 << 14;

/// Numbers that are copied: 64 MiB.
const COPIED: usize = 1 << 24;
