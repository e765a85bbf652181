//! Which kernels may run, for the whole process.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The kernels that a process may use. Each choice allows fewer than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum KernelChoice {
    /// The fastest that suits the shape and the CPU.
    Auto,
    /// No Winograd: direct convolution.
    Direct,
    /// Gathered patches and matrix products.
    Gemm,
    /// Plain loops: the same bits on every machine.
    Portable,
}

static CHOICE: AtomicU8 = AtomicU8::new(KernelChoice::Auto as u8);
static FAST_MATH: AtomicBool = AtomicBool::new(false);

impl KernelChoice {
    /// Every choice, the least restricted first.
    pub const ALL: [KernelChoice; 4] = [Self::Auto, Self::Direct, Self::Gemm, Self::Portable];

    /// The name that users give.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Gemm => "gemm",
            Self::Portable => "portable",
        }
    }
}

/// Restricts the whole process to kernels of this kind. `fast_math` allows Winograd's F(4×4, 3×3), which rounds about five times
/// worse than the others.
///
/// Call it before the first kernel runs: results in between would come from different kernels.
pub fn configure_kernels(choice: KernelChoice, fast_math: bool) {
    CHOICE.store(choice as u8, Ordering::Relaxed);
    FAST_MATH.store(fast_math, Ordering::Relaxed);
}

/// The choice in force.
pub fn kernel_choice() -> KernelChoice {
    let choice = CHOICE.load(Ordering::Relaxed);
    KernelChoice::ALL.into_iter().find(|c| *c as u8 == choice).unwrap_or(KernelChoice::Auto)
}

/// True when kernels that round worse are allowed.
pub(crate) fn fast_math() -> bool {
    FAST_MATH.load(Ordering::Relaxed)
}
