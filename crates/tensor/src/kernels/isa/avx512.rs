//! AVX-512 (F, BW, CD, DQ and VL, which all CPUs with vectors of 512 bits for servers and desktops have): thirty-two registers.

use super::{Vector, WIDEST};
use std::arch::x86_64::*;

/// Whether this CPU has the instructions.
pub(super) fn is_available() -> bool {
    super::avx2::is_available()
        && std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512cd")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512vl")
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Sixteen numbers of 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct F32(__m512);

/// Sixteen rows of sixteen: of each square of four first, then the squares.
///
/// # Safety
/// The CPU must have AVX-512F.
#[inline(always)]
unsafe fn transpose(square: &mut [F32; WIDEST]) {
    // SAFETY: the caller's.
    unsafe {
        let mut fours = [_mm512_setzero_ps(); WIDEST];
        for r in (0..WIDEST).step_by(4) {
            let [a, b, c, d] = [square[r].0, square[r + 1].0, square[r + 2].0, square[r + 3].0];
            let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            fours[r] = _mm512_shuffle_ps::<0x44>(ab, cd);
            fours[r + 1] = _mm512_shuffle_ps::<0xee>(ab, cd);
            fours[r + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
            fours[r + 3] = _mm512_shuffle_ps::<0xee>(ab_high, cd_high);
        }
        for c in 0..4 {
            let [a, b, e, f] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
            let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let (even2, odd2) = (_mm512_shuffle_f32x4::<0x88>(e, f), _mm512_shuffle_f32x4::<0xdd>(e, f));
            square[c] = F32(_mm512_shuffle_f32x4::<0x88>(even, even2));
            square[8 + c] = F32(_mm512_shuffle_f32x4::<0xdd>(even, even2));
            square[4 + c] = F32(_mm512_shuffle_f32x4::<0x88>(odd, odd2));
            square[12 + c] = F32(_mm512_shuffle_f32x4::<0xdd>(odd, odd2));
        }
    }
}

impl F32 {
    /// Lanes below `count`.
    #[inline(always)]
    fn first(count: usize) -> __mmask16 {
        ((1u32 << count.min(16)) - 1) as __mmask16
    }
}

// SAFETY, for all blocks below: they run only inside `vectorize`, whose caller says that the CPU has the instructions; whoever
// passes a pointer says what lies behind it.
impl Vector for F32 {
    type Element = f32;
    const LANES: usize = 16;
    const ROWS: [usize; 3] = [8, 8, 8];

    #[inline(always)]
    unsafe fn vectorize<R>(f: impl FnOnce() -> R) -> R {
        unsafe { call(f) }
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        F32(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        F32(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        F32(unsafe { _mm512_maskz_loadu_ps(Self::first(count), from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, Self::first(count), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F32(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F32(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F32(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        F32(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    fn prefetch(at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn transpose(square: &mut [Self; WIDEST]) {
        unsafe { transpose(square) }
    }
}
