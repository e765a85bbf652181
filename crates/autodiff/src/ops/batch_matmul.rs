//! Products of matrices in pairs, times a constant: yᵢ = s·aᵢ·bᵢ, or yᵢ = s·aᵢ·bᵢᵀ; all axes but the last two count pairs.
//!
//! ```text
//! y = s·a·b:   ā = s·ȳ·bᵀ, b̄ = s·aᵀ·ȳ        y = s·a·bᵀ:   ā = s·ȳ·b, b̄ = s·ȳᵀ·a
//! ```

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::gemm::{View, batched};
use sph_tensor::{Element, Shape, ShapeError};

/// Products of matrices in pairs; made by [`batch_matmul`].
#[derive(Debug)]
pub struct BatchMatMul {
    /// b is [.., N, K].
    pub transposed: bool,
    /// The factor.
    pub scale: f64,
}

/// `scale`·a·b with a [.., M, K] and b [.., K, N], or b [.., N, K] when `transposed`.
pub fn batch_matmul(transposed: bool, scale: f64) -> BilinearOp<BatchMatMul> {
    BilinearOp(BatchMatMul { transposed, scale })
}

/// Rows and columns of each matrix.
fn matrix(shape: Shape) -> (usize, usize) {
    (shape[shape.rank() - 2], shape.last())
}

/// Matrix `i` of an array; where there are fewer matrices (one probe's operand for several probes) they repeat.
fn pick<T>(data: &[T], (rows, cols): (usize, usize), i: usize) -> View<'_, T> {
    let size = rows * cols;
    let i = i % (data.len() / size.max(1)).max(1);
    View::new(&data[i * size..(i + 1) * size], rows, cols)
}

impl BatchMatMul {
    /// (M, K, N)
    fn sizes(&self, a: Shape, b: Shape) -> (usize, usize, usize) {
        let ((m, k), (rows, cols)) = (matrix(a), matrix(b));
        (m, k, if self.transposed { rows } else { cols })
    }

    fn right<'a, T>(&self, b: &'a [T], shape: Shape, i: usize) -> View<'a, T> {
        let b = pick(b, matrix(shape), i);
        if self.transposed { b.t() } else { b }
    }
}

impl<T: Element> Bilinear<T> for BatchMatMul {
    fn name(&self) -> &'static str {
        "batch_matmul"
    }

    fn output_shape(&self, a: Shape, b: Shape) -> Result<Shape, ShapeError> {
        let fits =
            a.rank() >= 3 && a.rank() == b.rank() && a.dims()[..a.rank() - 2] == b.dims()[..a.rank() - 2];
        let inner = |b: Shape| b[b.rank() - 1 - usize::from(!self.transposed)];
        if !fits || a.last() != inner(b) || a.len() == 0 || b.len() == 0 {
            return Err(ShapeError::new("batch_matmul", "matrices do not fit in pairs", &[a, b]));
        }
        let mut dims = a.dims().to_vec();
        dims[a.rank() - 1] = self.sizes(a, b).2;
        Ok(Shape::new(&dims))
    }

    fn apply(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), a: &[T], b: &[T], y: &mut [T]) {
        let (m, k, n) = self.sizes(sa, sb);
        let work = y.len() * k;
        batched(y, m * n, work, T::from_f64(self.scale), |i| (pick(a, (m, k), i), self.right(b, sb, i)));
    }

    fn adjoint_x(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), y_bar: &[T], b: &[T], a_bar: &mut [T]) {
        let (m, k, n) = self.sizes(sa, sb);
        let work = a_bar.len() * n;
        batched(a_bar, m * k, work, T::from_f64(self.scale), |i| {
            (pick(y_bar, (m, n), i), self.right(b, sb, i).t())
        });
    }

    fn adjoint_w(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), a: &[T], y_bar: &[T], b_bar: &mut [T]) {
        let (m, k, n) = self.sizes(sa, sb);
        let work = b_bar.len() * m;
        batched(b_bar, k * n, work, T::from_f64(self.scale), |i| {
            let (a, y_bar) = (pick(a, (m, k), i), pick(y_bar, (m, n), i));
            if self.transposed { (y_bar.t(), a) } else { (a.t(), y_bar) }
        });
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(batch_matmul(false, 0.5), vec![normal(&[2, 3, 4, 3], 0), normal(&[2, 3, 3, 2], 1)]),
        case(batch_matmul(true, 1.5), vec![normal(&[3, 4, 3], 0), normal(&[3, 5, 3], 1)]),
        // More pairs than there are parts of the work.
        case(batch_matmul(false, -0.5), vec![normal(&[70, 1, 2], 0), normal(&[70, 2, 1], 1)]),
    ]
}
