//! What every CPU of the target has: registers of 128 bits, which the compiler makes of short arrays (SSE2, Neon).

use super::{Vector, WIDEST};
use crate::Element;

/// `N` numbers.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<T, const N: usize>([T; N]);

/// Four numbers of 32 bits.
pub(crate) type F32 = Lanes<f32, 4>;

/// Two numbers of 64 bits.
pub(crate) type F64 = Lanes<f64, 2>;

impl<T: Element, const N: usize> Lanes<T, N> {
    #[inline(always)]
    fn each(f: impl Fn(usize) -> T) -> Self {
        let mut out = [T::ZERO; N];
        (0..N).for_each(|i| out[i] = f(i));
        Lanes(out)
    }
}

impl<T: Element, const N: usize> Vector for Lanes<T, N> {
    type Element = T;
    const LANES: usize = N;
    const ROWS: [usize; 3] = [8, 6, 4];

    #[inline(always)]
    unsafe fn vectorize<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    fn splat(value: T) -> Self {
        Lanes([value; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller's.
        Lanes(unsafe { from.cast::<[T; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_first(from: *const T, count: usize) -> Self {
        // SAFETY: the caller's.
        Self::each(|i| if i < count { unsafe { *from.add(i) } } else { T::ZERO })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[T; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut T, count: usize) {
        // SAFETY: the caller's.
        (0..count.min(N)).for_each(|i| unsafe { *to.add(i) = self.0[i] });
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::each(|i| self.0[i] + other.0[i])
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::each(|i| self.0[i] - other.0[i])
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::each(|i| self.0[i] * other.0[i])
    }
    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        Self::each(|i| self.0[i] * factor.0[i] + term.0[i])
    }
    #[inline(always)]
    fn prefetch(_at: *const T) {}
    #[inline(always)]
    fn transpose(square: &mut [Self; WIDEST]) {
        for r in 0..N {
            for c in 0..r {
                let below = square[r].0[c];
                square[r].0[c] = square[c].0[r];
                square[c].0[r] = below;
            }
        }
    }
}
