//! Matrix products on strided views.
//!
//! Which loops run depends on the instruction set (`kernels::table`): `packed`, or the `gemm` crate's; plain ones where the same
//! bits are asked for on every machine.

#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) mod external;
pub(in crate::kernels) mod packed;

use crate::Element;
use crate::kernels::choice::{KernelChoice, kernel_choice};
use crate::kernels::isa::vectorized;
use crate::parallel::for_chunks_of_work;

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

    /// The part of `rows` rows and `cols` columns that begins with the given ones.
    fn part(self, (row, rows): (usize, usize), (col, cols): (usize, usize)) -> Self {
        // Without rows or columns there may be nothing behind the beginning.
        let from = (row * self.row_stride + col * self.col_stride).min(self.data.len());
        View { data: &self.data[from..], rows, cols, ..self }
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
            vectorized::<T, _>(
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
    (T::kernels().product)(dst, row_stride, accumulate, scale, a, b);
}

/// `dst = a·b`, or `dst += a·b` when `accumulate`, on all threads.
pub fn matmul<T: Element>(dst: &mut [T], accumulate: bool, a: View<T>, b: View<T>) {
    let (m, n) = (a.rows, b.cols);
    assert_eq!(dst.len(), m * n, "size of the product");
    assert_eq!(b.rows, a.cols, "inner dimensions");
    if n == 0 {
        return;
    }
    if kernel_choice() == KernelChoice::Portable {
        return by_rows(dst, accumulate, a, b, plain);
    }
    (T::kernels().matmul)(dst, accumulate, a, b);
}

/// A product of the calling thread: `dst`, the elements from one of its rows to the next, whether to add to it, the scale, both operands.
pub(crate) type Product<T> = fn(&mut [T], usize, bool, T, View<T>, View<T>);

/// A product of all threads: `dst`, contiguous; whether to add to it; both operands.
pub(crate) type Matmul<T> = fn(&mut [T], bool, View<T>, View<T>);

/// `dst = a·b`, or `dst += a·b` when `accumulate`, split by rows of `dst`.
fn by_rows<T: Element>(dst: &mut [T], accumulate: bool, a: View<T>, b: View<T>, product: Product<T>) {
    let (m, n) = (a.rows, b.cols);
    // Parts of about half a million multiply-adds, but at most about 16 of them and at least 64 rows each: every part packs
    // the whole of b.
    let rows = ((1 << 19) / (n * a.cols).max(1)).max(m.div_ceil(16)).max(64).next_multiple_of(8);
    for_chunks_of_work(dst, rows * n, m * n * a.cols, |i, part| {
        product(part, n, accumulate, T::ONE, a.part((i * rows, part.len() / n), (0, a.cols)), b);
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
    use crate::kernels::isa::Isa;

    /// Whole numbers: every order of additions gives the same. Drawn ones: of periodic ones a part may have the sum of all.
    fn operand<T: Element>(len: usize, modulus: usize) -> Vec<T> {
        let mut r = crate::Rng::new(4, "operands", len as u64, modulus as u64);
        (0..len).map(|_| T::from_f64(r.below(modulus) as f64 - 3.0)).collect()
    }

    fn in_every_orientation<T: Element>(m: usize, n: usize, k: usize) {
        let (a, b) = (operand::<T>(m * k, 7), operand::<T>(k * n, 5));
        let transpose =
            |v: &[T], r: usize, c: usize| -> Vec<T> { (0..r * c).map(|i| v[(i % r) * c + i / r]).collect() };
        let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
        let mut want = vec![T::ZERO; m * n];
        for i in 0..m {
            for l in 0..k {
                (0..n).for_each(|j| want[i * n + j] += a[i * k + l] * b[l * n + j]);
            }
        }
        let times = |factor: f64| want.iter().map(|w| T::from_f64(factor) * *w).collect::<Vec<T>>();
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = if ta { View::new(&at, k, m).t() } else { View::new(&a, m, k) };
            let b = if tb { View::new(&bt, n, k).t() } else { View::new(&b, k, n) };
            let sets =
                Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(|isa| T::kernels_of(isa).product);
            for product in sets.chain([plain as Product<T>]) {
                // Rows further apart than they are long: what lies between them stays.
                let pitch = n + 3;
                let mut got = vec![T::ONE; m * pitch];
                let rows =
                    |got: &[T]| got.chunks(pitch).flat_map(|row| row[..n].to_vec()).collect::<Vec<T>>();
                product(&mut got, pitch, false, T::from_f64(2.0), a, b);
                assert_eq!(rows(&got), times(2.0), "{m} {n} {k} {ta} {tb}");
                product(&mut got, pitch, true, T::from_f64(3.0), a, b);
                assert_eq!(rows(&got), times(5.0), "{m} {n} {k} {ta} {tb}");
                assert!(got.chunks(pitch).all(|row| row[n..].iter().all(|x| *x == T::ONE)));
            }
            let sets =
                Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(|isa| T::kernels_of(isa).matmul);
            for matmul in sets {
                let mut got = vec![T::ONE; m * n];
                matmul(&mut got, false, a, b);
                assert_eq!(got, times(1.0), "{m} {n} {k} {ta} {tb}");
                matmul(&mut got, true, a, b);
                assert_eq!(got, times(2.0), "{m} {n} {k} {ta} {tb}");
            }
        }
    }

    #[test]
    fn agrees_with_the_naive_product_in_every_orientation() {
        let mut r = crate::Rng::new(3, "products", 0, 0);
        // Rows, terms and columns that are split; rows that are copied, some far apart; no terms at all, single rows.
        let mut sizes =
            vec![(1100, 19, 53), (3, 700, 2000), (5, 9, 40000), (40, 0, 3), (9, 11, 0), (1, 1, 1)];
        sizes.extend([(300, 40, 300), (200, 50, 270)]);
        sizes.extend((0..60).map(|_| (1 + r.below(70), 1 + r.below(70), 1 + r.below(600))));
        for (m, n, k) in sizes {
            in_every_orientation::<f32>(m, n, k);
            in_every_orientation::<f64>(m, n, k);
        }
    }
}
