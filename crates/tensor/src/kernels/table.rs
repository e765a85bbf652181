//! Which kernels an instruction set has: a row for each set and element type.

#[cfg(target_arch = "x86_64")]
use super::conv::avx512;
use super::conv::{ConvKernels, depthwise, direct, gathered, grouped, one_tap, winograd};
use super::gemm::{Matmul, Product, packed};
use super::isa::{Isa, baseline};
#[cfg(target_arch = "x86_64")]
use super::{gemm::external, isa::avx2};
use crate::Element;

/// The kernels for one element type.
pub struct Kernels<T: Element> {
    /// Convolutions, best first. The last ones run every convolution.
    pub(crate) conv: &'static [&'static ConvKernels<T>],
    /// A matrix product of the calling thread.
    pub(crate) product: Product<T>,
    /// A matrix product of all threads.
    pub(crate) matmul: Matmul<T>,
}

/// The kernels that are written once for all widths, and convolutions that are better than theirs.
macro_rules! of_width {
    ($vector:ty $(, $better:expr)*) => {
        const {
            &Kernels {
                conv: &[
                    &one_tap::kernels::<$vector>(),
                    $(&$better,)*
                    &direct::kernels::<$vector>(),
                    &gathered::kernels(),
                    &depthwise::kernels::<$vector>(),
                    &grouped::depthwise(),
                    &grouped::split(),
                ],
                product: packed::scaled_rows::<$vector>,
                matmul: packed::matmul::<$vector>,
            }
        }
    };
}

// Small functions are compiled again in every crate that calls them, and all kernels of a row with them: these two are compiled here alone.

/// Kernels of an instruction set for f32.
#[inline(never)]
pub(crate) fn f32(isa: Isa) -> &'static Kernels<f32> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            const {
                &Kernels {
                    conv: &[
                        &avx512::F4,
                        &avx512::F2,
                        &avx512::DIRECT,
                        &gathered::kernels(),
                        &grouped::depthwise(),
                        &grouped::split(),
                    ],
                    product: external::scaled_rows,
                    matmul: external::matmul,
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => of_width!(avx2::F32, winograd::f4::<avx2::F32>(), winograd::f2::<avx2::F32>()),
        _ => of_width!(baseline::F32, winograd::f4::<baseline::F32>(), winograd::f2::<baseline::F32>()),
    }
}

/// Kernels of an instruction set for f64.
#[inline(never)]
pub(crate) fn f64(isa: Isa) -> &'static Kernels<f64> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            const {
                &Kernels {
                    conv: &[&gathered::kernels(), &grouped::depthwise(), &grouped::split()],
                    product: external::scaled_rows,
                    matmul: external::matmul,
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => of_width!(avx2::F64),
        _ => of_width!(baseline::F64),
    }
}
