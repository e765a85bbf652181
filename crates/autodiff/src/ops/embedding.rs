//! Rows of a table: y[i] = W[index i]; its adjoint adds each row of ȳ to the table's row that it came from.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::sync::Arc;

/// Rows of a table; made by [`embedding`].
#[derive(Debug)]
pub struct Embedding {
    /// The numbers of the rows.
    pub indices: Arc<[u32]>,
    /// Their arrangement.
    pub shape: Shape,
}

/// The rows of a table [V, D] that `indices`, an array of `shape` (at most four axes), name: [shape.., D].
///
/// # Panics
/// When `indices` does not fill `shape`.
pub fn embedding(indices: Arc<[u32]>, shape: Shape) -> LinearOp<Embedding> {
    assert_eq!(indices.len(), shape.len(), "indices for shape {shape}");
    LinearOp::new(Embedding { indices, shape })
}

impl<T: Element> Linear<T> for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn output_shape(&self, table: Shape) -> Result<Shape, ShapeError> {
        if table.rank() != 2 || self.shape.rank() > 4 {
            return Err(ShapeError::new("embedding", "expects a table [V, D] and few axes", &[table]));
        }
        match self.indices.iter().find(|&&i| i as usize >= table[0]) {
            Some(i) => Err(ShapeError::new("embedding", format!("the table has no row {i}"), &[table])),
            None => {
                let dims: Vec<usize> = self.shape.dims().iter().copied().chain([table[1]]).collect();
                Ok(Shape::new(&dims))
            }
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        self.tangent(None, (x.shape(), y), x.as_slice(), value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        for (y, &i) in y_dot.chunks_exact_mut(x[1].max(1)).zip(&*self.indices) {
            y.copy_from_slice(&x_dot[i as usize * x[1]..][..x[1]]);
        }
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        x_bar.fill(T::ZERO);
        for (y, &i) in y_bar.chunks_exact(x[1].max(1)).zip(&*self.indices) {
            x_bar[i as usize * x[1]..][..x[1]].iter_mut().zip(y).for_each(|(x, y)| *x += *y);
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let indices: Arc<[u32]> = vec![0, 3, 3, 1, 0, 3].into();
    vec![case(embedding(indices, Shape::new(&[2, 3])), vec![normal(&[4, 2], 0)])]
}
