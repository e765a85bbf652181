//! What the machine can do at most, for comparison.

use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;

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
