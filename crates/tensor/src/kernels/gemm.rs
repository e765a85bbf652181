//! Matrix products, single-threaded inside fixed parts: through the `gemm` crate, which picks the widest instructions of the CPU, or by
//! plain loops where the same bits are asked for on every machine.

use crate::Element;
use crate::kernels::choice::{KernelChoice, kernel_choice};
use crate::parallel::{for_chunks_of_work, vectorized};

/// A strided matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A row-major `rows` × `cols` matrix.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A row-major `rows` × `cols` matrix whose rows start `row_stride` elements apart.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(
            rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= data.len(),
            "view outside its slice"
        );
        View { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transposed matrix, without a copy.
    pub fn t(self) -> Self {
        View {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    fn row_range(self, start: usize, rows: usize) -> Self {
        View { data: &self.data[start * self.row_stride..], rows, ..self }
    }
}

/// `dst = a·b`, or `dst += a·b` when `accumulate`, on the calling thread. `dst` is row-major and contiguous.
pub fn serial<T: Element>(dst: &mut [T], accumulate: bool, a: View<T>, b: View<T>) {
    scaled(dst, accumulate, T::ONE, a, b);
}

/// [`scaled_rows`] by plain loops: every element is one sum over the inner dimension in order, each product rounded.
#[allow(clippy::needless_range_loop)] // lanes are registers
fn plain<T: Element>(dst: &mut [T], row_stride: usize, accumulate: bool, scale: T, a: View<T>, b: View<T>) {
    const ROWS: usize = 4;
    const COLS: usize = 16;
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let at = |v: &View<T>, r: usize, c: usize| v.data[r * v.row_stride + c * v.col_stride];
    let mut panel = vec![[T::ZERO; COLS]; k];
    for first in (0..n).step_by(COLS) {
        let cols = COLS.min(n - first);
        for (l, row) in panel.iter_mut().enumerate() {
            (0..cols).for_each(|c| row[c] = at(&b, l, first + c));
        }
        for top in (0..m).step_by(ROWS) {
            let rows = ROWS.min(m - top);
            let mut sums = [[T::ZERO; COLS]; ROWS];
            vectorized(
                #[inline(always)]
                || {
                    for (l, panel) in panel.iter().enumerate() {
                        for r in 0..rows {
                            let value = at(&a, top + r, l);
                            for c in 0..COLS {
                                sums[r][c] += value * panel[c];
                            }
                        }
                    }
                },
            );
            for r in 0..rows {
                let out = &mut dst[(top + r) * row_stride + first..][..cols];
                for (out, sum) in out.iter_mut().zip(&sums[r]) {
                    *out = if accumulate { *out + *sum * scale } else { *sum * scale };
                }
            }
        }
    }
}

/// [`serial`] with the product times `scale`.
pub fn scaled<T: Element>(dst: &mut [T], accumulate: bool, scale: T, a: View<T>, b: View<T>) {
    assert_eq!(dst.len(), a.rows * b.cols, "size of the product");
    scaled_rows(dst, b.cols, accumulate, scale, a, b);
}

/// [`scaled`] into rows that start `row_stride` elements apart; what lies between them stays.
#[allow(unsafe_code)]
pub fn scaled_rows<T: Element>(
    dst: &mut [T],
    row_stride: usize,
    accumulate: bool,
    scale: T,
    a: View<T>,
    b: View<T>,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(b.rows, k, "inner dimensions");
    assert!(n <= row_stride || m <= 1, "rows that overlap");
    assert!(m == 0 || n == 0 || (m - 1) * row_stride + n <= dst.len(), "size of the product");
    if kernel_choice() == KernelChoice::Portable {
        return plain(dst, row_stride, accumulate, scale, a, b);
    }
    // SAFETY: `View` checked that both operands lie inside their slices, and `dst` holds m rows of n elements; the
    // exclusive borrow of `dst` rules out overlap. `gemm` supports f32 and f64, the only `Element`s.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
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

/// `dst = a·b`, or `dst += a·b` when `accumulate`, split by rows of `dst`.
pub fn matmul<T: Element>(dst: &mut [T], accumulate: bool, a: View<T>, b: View<T>) {
    let (m, n) = (a.rows, b.cols);
    assert_eq!(dst.len(), m * n, "size of the product");
    if n == 0 {
        return;
    }
    // Parts of about half a million multiply-adds, but at most about 16 of them and at least 64 rows each: every part packs
    // the whole of b.
    let rows = ((1 << 19) / (n * a.cols).max(1)).max(m.div_ceil(16)).max(64).next_multiple_of(8);
    for_chunks_of_work(dst, rows * n, m * n * a.cols, |i, part| {
        serial(part, accumulate, a.row_range(i * rows, part.len() / n), b);
    });
}

/// `dst[i] = scale·f(i).0·f(i).1` for every matrix i of `dst`, `size` elements each; `work` is the multiply-adds of all.
pub fn batched<'a, T: Element>(
    dst: &mut [T],
    size: usize,
    work: usize,
    scale: T,
    f: impl Fn(usize) -> (View<'a, T>, View<'a, T>) + Sync,
) {
    // About 64 parts: enough for a balance between threads, large enough to be worth a task.
    let per_part = (dst.len() / size.max(1)).div_ceil(64).max(1);
    for_chunks_of_work(dst, (per_part * size).max(1), work, |part, dst| {
        for (i, dst) in dst.chunks_exact_mut(size.max(1)).enumerate() {
            let (a, b) = f(part * per_part + i);
            scaled(dst, false, scale, a, b);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_naive_product_in_every_orientation() {
        // Of the second the rows are split.
        for (m, n, k) in [(37, 19, 53), (1100, 19, 53)] {
            in_every_orientation(m, n, k);
        }
    }

    fn in_every_orientation(m: usize, n: usize, k: usize) {
        let a: Vec<f64> = (0..m * k).map(|i| ((i * 37) % 101) as f64 - 50.0).collect();
        let b: Vec<f64> = (0..k * n).map(|i| ((i * 53) % 97) as f64 - 48.0).collect();
        let transpose = |v: &[f64], r: usize, c: usize| -> Vec<f64> {
            (0..r * c).map(|i| v[(i % r) * c + i / r]).collect()
        };
        let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
        let mut want = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                want[i * n + j] = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
            }
        }
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = if ta { View::new(&at, k, m).t() } else { View::new(&a, m, k) };
            let b = if tb { View::new(&bt, n, k).t() } else { View::new(&b, k, n) };
            let mut got = vec![1.0; m * n];
            matmul(&mut got, false, a, b);
            assert_eq!(got, want);
            got.fill(1.0);
            plain(&mut got, n, false, 2.0, a, b);
            assert!(got.iter().zip(&want).all(|(g, w)| *g == 2.0 * w));
            plain(&mut got, n, true, 3.0, a, b);
            assert!(got.iter().zip(&want).all(|(g, w)| *g == 5.0 * w));
            got.copy_from_slice(&want);
            matmul(&mut got, true, a, b);
            assert!(got.iter().zip(&want).all(|(g, w)| *g == 2.0 * w));
        }
    }
}
