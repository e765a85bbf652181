//! The two element types: `f32` for work, `f64` for checks.

use crate::kernels::isa::{Isa, isa};
use crate::kernels::table::{self, Kernels};
use crate::pool::Storage;
use crate::special;
use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};
use std::thread::LocalKey;

/// The name of an element type, as users and files spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 32-bit IEEE floating point.
    F32,
    /// 64-bit IEEE floating point.
    F64,
}

/// A floating-point number that arrays hold: `f32` or `f64`.
///
/// Transcendental functions are ours for f32 and `libm`'s for f64, not the platform's: the same bits on every machine.
pub trait Element:
    Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Which type this is.
    const DTYPE: DType;
    /// The nearest value.
    fn from_f64(x: f64) -> Self;
    /// The value, exactly.
    fn to_f64(self) -> f64;
    /// e to the power of `self`.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Logarithm of 1 + `self`, a number above −1; small ones keep their digits.
    fn ln_1p(self) -> Self;
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// `self` to the power of `exponent`.
    fn powf(self, exponent: Self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The kernels for this type of an instruction set.
    #[doc(hidden)]
    fn kernels_of(isa: Isa) -> &'static Kernels<Self>;
    /// The kernels for this type of the instruction set in force.
    #[doc(hidden)]
    fn kernels() -> &'static Kernels<Self> {
        Self::kernels_of(isa())
    }
    /// Scratch memory of the calling thread. Whoever takes it puts it back.
    #[doc(hidden)]
    fn scratch() -> &'static LocalKey<Cell<Vec<Storage<Self>>>>;
    /// The larger of two numbers.
    fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

macro_rules! element {
    ($t:ty, $dtype:expr, $exp:path, $tanh:path, $erf:path, $ln:path, $ln_1p:path, $sin:path, $cos:path, $powf:path, $kernels:path) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const DTYPE: DType = $dtype;
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $ln_1p(self)
            }
            fn sin(self) -> Self {
                $sin(self)
            }
            fn cos(self) -> Self {
                $cos(self)
            }
            fn powf(self, exponent: Self) -> Self {
                $powf(self, exponent)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$t>::abs(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
            fn kernels_of(isa: Isa) -> &'static Kernels<Self> {
                $kernels(isa)
            }
            fn scratch() -> &'static LocalKey<Cell<Vec<Storage<Self>>>> {
                thread_local!(static SCRATCH: Cell<Vec<Storage<$t>>> = const { Cell::new(vec![]) });
                &SCRATCH
            }
        }
    };
}

element!(
    f32,
    DType::F32,
    special::exp,
    special::tanh,
    special::erf,
    special::ln,
    special::ln_1p,
    libm::sinf,
    libm::cosf,
    libm::powf,
    table::f32
);
element!(
    f64,
    DType::F64,
    libm::exp,
    libm::tanh,
    libm::erf,
    libm::log,
    libm::log1p,
    libm::sin,
    libm::cos,
    libm::pow,
    table::f64
);
