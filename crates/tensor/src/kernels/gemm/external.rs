//! Matrix products of the `gemm` crate, which picks the instructions itself.

use super::View;
use crate::Element;

/// See [`scaled_rows`](super::scaled_rows).
#[allow(unsafe_code)]
pub(in crate::kernels) fn scaled_rows<T: Element>(
    dst: &mut [T],
    row_stride: usize,
    accumulate: bool,
    scale: T,
    a: View<T>,
    b: View<T>,
) {
    // SAFETY: `View` checked that both operands lie inside their slices, and the caller that `dst` holds a.rows rows of b.cols elements; the
    // exclusive borrow of `dst` rules out overlap. `gemm` supports f32 and f64, the only `Element`s.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            dst.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            T::ONE,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// See [`matmul`](super::matmul).
pub(in crate::kernels) fn matmul<T: Element>(dst: &mut [T], accumulate: bool, a: View<T>, b: View<T>) {
    super::by_rows(dst, accumulate, a, b, scaled_rows);
}
