//! AVX2 and FMA: sixteen registers of 256 bits.

use super::{Vector, WIDEST};
use std::arch::x86_64::*;

/// Whether this CPU has the instructions.
pub(super) fn is_available() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
        && std::is_x86_feature_detected!("popcnt")
}

#[inline]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Eight numbers of 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct F32(__m256);

/// Four numbers of 64 bits.
#[derive(Clone, Copy)]
pub(crate) struct F64(__m256d);

/// Lanes below `count`: the window of this array that begins at `lanes − count`.
static FIRST_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static FIRST_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// Eight rows of eight: pairs of rows, then squares of four, then the halves.
///
/// # Safety
/// The CPU must have AVX.
#[inline(always)]
unsafe fn transpose_32(square: &mut [F32; WIDEST]) {
    // SAFETY: the caller's.
    unsafe {
        let mut fours = [_mm256_setzero_ps(); 8];
        for half in [0, 4] {
            let [a, b, c, d] = [square[half].0, square[half + 1].0, square[half + 2].0, square[half + 3].0];
            let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            fours[half] = _mm256_shuffle_ps::<0x44>(ab, cd);
            fours[half + 1] = _mm256_shuffle_ps::<0xee>(ab, cd);
            fours[half + 2] = _mm256_shuffle_ps::<0x44>(ab_high, cd_high);
            fours[half + 3] = _mm256_shuffle_ps::<0xee>(ab_high, cd_high);
        }
        for c in 0..4 {
            square[c] = F32(_mm256_permute2f128_ps::<0x20>(fours[c], fours[4 + c]));
            square[4 + c] = F32(_mm256_permute2f128_ps::<0x31>(fours[c], fours[4 + c]));
        }
    }
}

/// Four rows of four.
///
/// # Safety
/// The CPU must have AVX.
#[inline(always)]
unsafe fn transpose_64(square: &mut [F64; WIDEST]) {
    // SAFETY: the caller's.
    unsafe {
        let [a, b, c, d] = [square[0].0, square[1].0, square[2].0, square[3].0];
        let (ab, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (cd, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        square[0] = F64(_mm256_permute2f128_pd::<0x20>(ab, cd));
        square[1] = F64(_mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd));
        square[2] = F64(_mm256_permute2f128_pd::<0x31>(ab, cd));
        square[3] = F64(_mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd));
    }
}

macro_rules! vector {
    ($vector:ident, $element:ty, $lanes:literal, $first:ident, $splat:ident, $load:ident, $maskload:ident, $store:ident, $maskstore:ident, $add:ident, $sub:ident, $mul:ident, $fmadd:ident, $transpose:ident) => {
        impl $vector {
            /// Lanes below `count`.
            #[inline(always)]
            fn first(count: usize) -> __m256i {
                let window = &$first[$lanes - count.min($lanes)..][..$lanes];
                // SAFETY: the window is 256 bits long.
                unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
            }
        }

        // SAFETY, for all blocks below: they run only inside `vectorize`, whose caller says that the CPU has the instructions; whoever
        // passes a pointer says what lies behind it.
        impl Vector for $vector {
            type Element = $element;
            const LANES: usize = $lanes;
            const ROWS: [usize; 3] = [8, 6, 4];

            #[inline(always)]
            unsafe fn vectorize<R>(f: impl FnOnce() -> R) -> R {
                unsafe { call(f) }
            }
            #[inline(always)]
            fn splat(value: $element) -> Self {
                $vector(unsafe { $splat(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                $vector(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $element, count: usize) -> Self {
                $vector(unsafe { $maskload(from, Self::first(count)) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $element, count: usize) {
                // Masked stores are slow on many CPUs.
                match count >= $lanes {
                    true => unsafe { $store(to, self.0) },
                    false => unsafe { $maskstore(to, Self::first(count), self.0) },
                }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $vector(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $vector(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                $vector(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn multiply_add(self, factor: Self, term: Self) -> Self {
                $vector(unsafe { $fmadd(self.0, factor.0, term.0) })
            }
            #[inline(always)]
            fn prefetch(at: *const $element) {
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
            #[inline(always)]
            fn transpose(square: &mut [Self; WIDEST]) {
                unsafe { $transpose(square) }
            }
        }
    };
}

vector!(
    F32,
    f32,
    8,
    FIRST_32,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_maskload_ps,
    _mm256_storeu_ps,
    _mm256_maskstore_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    transpose_32
);
vector!(
    F64,
    f64,
    4,
    FIRST_64,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_maskload_pd,
    _mm256_storeu_pd,
    _mm256_maskstore_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_fmadd_pd,
    transpose_64
);
