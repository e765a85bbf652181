//! What the machine can do at most, for comparison.

use super::map;
use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::time::Instant;

/// Independent sums: enough to hide the latency of a multiply-add on two units.
const SUMS: usize = 12;
const ROUNDS: usize = 1 << 16;

struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (a, b) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(0.25)));
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, a, b);
            }
        }
        black_box(sums);
        2 * ROUNDS * SUMS * S::F32_LANES
    }
}

/// Multiply-adds in f32 on registers alone, with the widest vectors of the CPU, on the calling thread: a few milliseconds of
/// them. Returns the number of floating-point operations, two a multiply-add.
pub fn multiply_adds() -> usize {
    Arch::new().dispatch(MultiplyAdds)
}

/// What the machine does at most on all threads of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Floating-point operations per second in multiply-adds on registers.
    pub operations: f64,
    /// Bytes read and written per second in copying arrays that no cache holds.
    pub bytes: f64,
}

impl Peak {
    /// Measures both, for about a fifth of a second; the best of several rounds, since others only ever slow a machine down.
    pub fn measure() -> Self {
        let per_second = |amount: usize, work: &mut dyn FnMut()| {
            let round = |_| {
                let start = Instant::now();
                work();
                amount as f64 / start.elapsed().as_secs_f64()
            };
            (0..5).map(round).fold(0.0, f64::max)
        };
        let operations = rayon::broadcast(|_| multiply_adds()).into_iter().sum();
        let (from, mut to) = (vec![1.0f32; COPIED], vec![0.0f32; COPIED]);
        Peak {
            operations: per_second(operations, &mut || {
                rayon::broadcast(|_| multiply_adds());
            }),
            bytes: per_second(2 * size_of_val(&from[..]), &mut || map::unary(&mut to, &from, |x| x)),
        }
    }
}

/// Numbers that are copied: 64 MiB.
const COPIED: usize = 1 << 24;
