//! Instruction sets: what a kernel may ask of vectors, and which set this process uses.
//!
//! Kernels are written once over `Vector`. An instruction set is a file that implements it for f32 and f64, and a row of [`Isa`].
//!
//! | file | set | lanes of f32 | registers |
//! |---|---|---|---|
//! | `avx512` | AVX-512 | 16 | 32 |
//! | `avx2` | AVX2 and FMA | 8 | 16 |
//! | `baseline` | what every CPU of the target has | 4 | 16 |

// Loads and stores take pointers, and a set's instructions may run only where the CPU has them.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod baseline;

use crate::Element;
use std::sync::atomic::{AtomicU8, Ordering};

/// Lanes of the widest vectors.
pub(crate) const WIDEST: usize = 16;

/// A vector register of numbers.
///
/// Its methods compile to single instructions where they are inlined into [`Vector::vectorize`]; they are used nowhere else. All that is
/// called in between must be `#[inline(always)]`.
pub(crate) trait Vector: Copy + Send + Sync + 'static {
    /// The numbers it holds.
    type Element: Element;
    /// How many.
    const LANES: usize;
    /// Rows of a register tile of one, two and three vectors: as many as leave registers for the operands, at most
    /// [`MOST`](super::tile::MOST).
    const ROWS: [usize; 3];

    /// Runs `f`, compiled for this instruction set.
    ///
    /// # Safety
    /// The CPU must have it.
    unsafe fn vectorize<R>(f: impl FnOnce() -> R) -> R;

    /// The same number in all lanes.
    fn splat(value: Self::Element) -> Self;

    /// Reads all lanes.
    ///
    /// # Safety
    /// `from` points to at least [`Self::LANES`] numbers.
    unsafe fn load(from: *const Self::Element) -> Self;

    /// Reads the first `count` lanes (at most [`Self::LANES`]); the others are zero.
    ///
    /// # Safety
    /// `from` points to at least `count` numbers.
    unsafe fn load_first(from: *const Self::Element, count: usize) -> Self;

    /// Writes all lanes.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn store(self, to: *mut Self::Element);

    /// Writes the first `count` lanes (at most [`Self::LANES`]).
    ///
    /// # Safety
    /// As [`Self::load_first`].
    unsafe fn store_first(self, to: *mut Self::Element, count: usize);

    /// `self + other`.
    fn add(self, other: Self) -> Self;

    /// `self − other`.
    fn sub(self, other: Self) -> Self;

    /// `self·other`.
    fn mul(self, other: Self) -> Self;

    /// `self·factor + term`, rounded once where the set has such an instruction.
    fn multiply_add(self, factor: Self, term: Self) -> Self;

    /// Asks for the cache line at `at`, to be written; nothing happens where there is none.
    fn prefetch(at: *const Self::Element);

    /// The square whose rows are the first [`Self::LANES`] vectors, transposed; the others stay.
    fn transpose(square: &mut [Self; WIDEST]);

    /// All lanes zero.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(Self::Element::ZERO)
    }
}

/// An instruction set. Each allows fewer instructions than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    /// AVX-512 (F, BW, CD, DQ, VL): vectors of 512 bits.
    Avx512,
    /// AVX2 and FMA: vectors of 256 bits.
    Avx2,
    /// What every CPU of the target has: vectors of 128 bits, and no fused multiply-add where there is none.
    Baseline,
}

impl Isa {
    /// Every instruction set, widest first.
    pub const ALL: [Isa; 3] = [Self::Avx512, Self::Avx2, Self::Baseline];

    /// The name that users give.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Baseline => "baseline",
        }
    }

    /// How a report names it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2 and FMA",
            Self::Baseline => "vectors of 128 bits",
        }
    }

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Baseline => true,
        }
    }

    /// The widest that this CPU has.
    pub fn widest() -> Isa {
        Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Baseline)
    }
}

/// The instruction set in force, one more than its number; 0 until it is first asked for.
static ISA: AtomicU8 = AtomicU8::new(0);

/// Restricts the whole process to an instruction set that the CPU has. Call it before the first kernel runs: results in between would come
/// from different kernels.
///
/// # Panics
/// If the CPU does not have it.
pub fn configure_isa(isa: Isa) {
    assert!(isa.is_available(), "this CPU has no {}", isa.name());
    ISA.store(isa as u8 + 1, Ordering::Relaxed);
}

/// The instruction set in force.
#[inline]
pub fn isa() -> Isa {
    match ISA.load(Ordering::Relaxed) {
        1 => Isa::Avx512,
        2 => Isa::Avx2,
        3 => Isa::Baseline,
        _ => {
            let widest = Isa::widest();
            configure_isa(widest);
            widest
        }
    }
}

/// Runs a loop over numbers of type `T` with the vector instructions in force. The closure and all it calls must be inlined: mark it
/// `#[inline(always)]`, for a large one is called from here otherwise, compiled for the oldest CPU.
///
/// Loops over f64, which is for checks, have no version for AVX-512: each version of each loop is compiled.
#[inline(always)]
pub(crate) fn vectorized<T: Element, R>(f: impl FnOnce() -> R) -> R {
    match isa() {
        // SAFETY: only an instruction set that the CPU has is ever in force.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if const { size_of::<T>() == 4 } => unsafe { avx512::F32::vectorize(f) },
        // SAFETY: as above; a CPU with AVX-512 has AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx2 => unsafe { avx2::F32::vectorize(f) },
        _ => f(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<V: Vector>() {
        let element = |i: usize| V::Element::from_f64(i as f64);
        let numbers: Vec<V::Element> = (0..V::LANES * V::LANES).map(element).collect();
        let lanes = |v: V| {
            let mut out = vec![element(0); V::LANES];
            // SAFETY: a vector's lanes fit; the caller has seen that the CPU has the instructions.
            unsafe { v.store(out.as_mut_ptr()) };
            out
        };
        // SAFETY: as above.
        unsafe {
            V::vectorize(
                #[inline(always)]
                || {
                    let row = |r: usize| V::load(numbers[r * V::LANES..].as_ptr());
                    let mut square = [V::zero(); WIDEST];
                    (0..V::LANES).for_each(|r| square[r] = row(r));
                    V::transpose(&mut square);
                    for (c, column) in square[..V::LANES].iter().enumerate() {
                        let want: Vec<_> = (0..V::LANES).map(|r| element(r * V::LANES + c)).collect();
                        assert_eq!(lanes(*column), want);
                    }
                    for count in 0..=V::LANES {
                        let first = V::load_first(numbers[1..].as_ptr(), count);
                        let want: Vec<_> =
                            (0..V::LANES).map(|i| element(if i < count { i + 1 } else { 0 })).collect();
                        assert_eq!(lanes(first), want);
                        let mut out = vec![element(7); V::LANES];
                        row(0).store_first(out.as_mut_ptr(), count);
                        let want: Vec<_> =
                            (0..V::LANES).map(|i| if i < count { element(i) } else { element(7) }).collect();
                        assert_eq!(out, want);
                    }
                    let (a, b, c) = (row(1), V::splat(element(3)), row(0));
                    let want =
                        |f: &dyn Fn(usize) -> usize| (0..V::LANES).map(|i| element(f(i))).collect::<Vec<_>>();
                    assert_eq!(lanes(a.add(b)), want(&|i| V::LANES + i + 3));
                    assert_eq!(lanes(a.sub(c)), want(&|_| V::LANES));
                    assert_eq!(lanes(a.mul(b)), want(&|i| 3 * (V::LANES + i)));
                    assert_eq!(lanes(a.multiply_add(b, c)), want(&|i| 3 * (V::LANES + i) + i));
                },
            );
        }
    }

    #[test]
    fn vectors_do_what_their_names_say() {
        check::<baseline::F32>();
        check::<baseline::F64>();
        #[cfg(target_arch = "x86_64")]
        if Isa::Avx2.is_available() {
            check::<avx2::F32>();
            check::<avx2::F64>();
        }
        #[cfg(target_arch = "x86_64")]
        if Isa::Avx512.is_available() {
            check::<avx512::F32>();
        }
    }
}
