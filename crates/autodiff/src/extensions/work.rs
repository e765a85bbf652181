//! How much arithmetic an op does, and with which kernels.

use sph_tensor::kernels::conv::KernelInfo;
use sph_tensor::{Element, Shape};

/// An op that multiplies its inputs: a matrix product, a convolution, attention. By custom, ops that act a few times on each element are
/// not counted.
pub trait Work<T: Element> {
    /// Multiply-adds of y, for inputs of shapes `x`.
    fn multiply_adds(&self, x: &[Shape], y: Shape) -> u64;

    /// The kernels that compute y and the derivatives, where several could; `None` where there is one only.
    fn kernels(&self, x: &[Shape]) -> Option<KernelInfo> {
        let _ = x;
        None
    }
}
