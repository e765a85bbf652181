//! Matrix product: y = a·b. All axes of a but the last count rows.
//!
//! ```text
//! ā = ȳ·bᵀ, b̄ = aᵀ·ȳ
//! ```

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Bilinear, BilinearOp};
use sph_tensor::kernels::gemm::{View, matmul as product};
use sph_tensor::{Element, Shape, ShapeError};

/// Matrix product; made by [`matmul`].
#[derive(Debug)]
pub struct MatMul;

/// a·b with a [.., M, K] and b [K, N].
pub fn matmul() -> BilinearOp<MatMul> {
    BilinearOp(MatMul)
}

fn view<T>(data: &[T], shape: Shape) -> View<'_, T> {
    View::new(data, shape.rows(), shape.last())
}

impl<T: Element> Bilinear<T> for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn output_shape(&self, a: Shape, b: Shape) -> Result<Shape, ShapeError> {
        if a.rank() < 2 || b.rank() != 2 || a.last() != b[0] {
            return Err(ShapeError::new("matmul", "inner dimensions differ", &[a, b]));
        }
        let mut dims = a.dims().to_vec();
        dims[a.rank() - 1] = b[1];
        Ok(Shape::new(&dims))
    }

    fn apply(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), a: &[T], b: &[T], y: &mut [T]) {
        product(y, false, view(a, sa), view(b, sb));
    }

    fn adjoint_x(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), y_bar: &[T], b: &[T], a_bar: &mut [T]) {
        product(a_bar, false, View::new(y_bar, sa.rows(), sb[1]), view(b, sb).t());
    }

    fn adjoint_w(&self, _cx: &Context<T>, (sa, sb): (Shape, Shape), a: &[T], y_bar: &[T], b_bar: &mut [T]) {
        product(b_bar, false, view(a, sa).t(), View::new(y_bar, sa.rows(), sb[1]));
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(matmul(), vec![normal(&[4, 3], 0), normal(&[3, 5], 1)])]
}
