//! Matrix product: y = a·b, or y = a·bᵀ for a linear layer with weights [out, in]. All axes of a but the last count rows.
//!
//! ```text
//! y = a·b:   ā = ȳ·bᵀ, b̄ = aᵀ·ȳ        y = a·bᵀ:   ā = ȳ·b, b̄ = ȳᵀ·a
//! ```

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::kronecker::factors;
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::gemm::{View, matmul as product};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// See [`matmul`] and [`linear`].
#[derive(Debug)]
pub struct MatMul {
    transposed: bool,
}

/// a·b with a [.., M, K] and b [K, N].
pub fn matmul() -> BilinearOp<MatMul> {
    BilinearOp(MatMul { transposed: false })
}

/// x·Wᵀ with x [.., in] and W [out, in], PyTorch's layout.
pub fn linear() -> BilinearOp<MatMul> {
    BilinearOp(MatMul { transposed: true })
}

fn view<T>(data: &[T], shape: Shape) -> View<'_, T> {
    View::new(data, shape.rows(), shape.last())
}

impl MatMul {
    fn right<'a, T>(&self, b: &'a [T], shape: Shape) -> View<'a, T> {
        if self.transposed { view(b, shape).t() } else { view(b, shape) }
    }

    fn columns(&self, b: Shape) -> usize {
        b[usize::from(!self.transposed)]
    }
}

impl<T: Element> Bilinear<T> for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn output_shape(&self, a: Shape, b: Shape) -> Result<Shape, ShapeError> {
        let inner = usize::from(self.transposed);
        if a.rank() < 2 || b.rank() != 2 || a.last() != b[inner] {
            return Err(ShapeError::new("matmul", "inner dimensions differ", &[a, b]));
        }
        let mut dims = a.dims().to_vec();
        dims[a.rank() - 1] = self.columns(b);
        Ok(Shape::new(&dims))
    }

    fn apply(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), a: &[T], b: &[T], y: &mut [T]) {
        product(y, false, view(a, sa), self.right(b, sb));
    }

    fn adjoint_x(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), y_bar: &[T], b: &[T], a_bar: &mut [T]) {
        product(a_bar, false, View::new(y_bar, sa.rows(), self.columns(sb)), self.right(b, sb).t());
    }

    fn adjoint_w(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), a: &[T], y_bar: &[T], b_bar: &mut [T]) {
        let (a, y_bar) = (view(a, sa), View::new(y_bar, sa.rows(), self.columns(sb)));
        let (left, right) = if self.transposed { (y_bar.t(), a) } else { (a.t(), y_bar) };
        product(b_bar, false, left, right);
    }

    fn factors(
        &self,
        cx: &Context<T>,
        (sa, sb): (Shape, Shape),
        a: &[T],
        y_bar: &[T],
        bias: bool,
    ) -> Option<[Array<T>; 2]> {
        let inputs = sa.last();
        self.transposed.then(|| {
            let sizes = ((sa[0], sa.rows() / sa[0]), (inputs, self.columns(sb)));
            let rows = |first: usize, out: &mut [T]| out.copy_from_slice(&a[first * inputs..][..out.len()]);
            factors(cx, sizes.0, sizes.1, y_bar, bias, rows)
        })
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(matmul(), vec![normal(&[4, 3], 0), normal(&[3, 5], 1)]),
        case(linear(), vec![normal(&[4, 3], 0), normal(&[5, 3], 1)]),
        case(linear(), vec![normal(&[2, 3, 4], 0), normal(&[2, 4], 1)]),
    ]
}
