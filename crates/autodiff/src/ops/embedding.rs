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
    /// The row that stands for nothing: a constant, without derivatives.
    pub padding: Option<u32>,
}

/// The rows of a table [V, D] that `indices`, an array of `shape` (at most four axes), name: [shape.., D].
///
/// # Panics
/// When `indices` does not fill `shape`.
pub fn embedding(indices: Arc<[u32]>, shape: Shape) -> LinearOp<Embedding> {
    assert_eq!(indices.len(), shape.len(), "indices for shape {shape}");
    LinearOp::new(Embedding { indices, shape, padding: None })
}

/// [`embedding`] of a table whose row `padding` is a constant: it has no tangent and gets no adjoint, as with PyTorch's `padding_idx`.
///
/// # Panics
/// When `indices` does not fill `shape`.
pub fn embedding_with_padding(indices: Arc<[u32]>, shape: Shape, padding: u32) -> LinearOp<Embedding> {
    let LinearOp(op, piecewise) = embedding(indices, shape);
    LinearOp(Embedding { padding: Some(padding), ..op }, piecewise)
}

impl Embedding {
    /// y's rows are those of the table; `constant` where a row without derivatives stands.
    fn rows<T: Element>(&self, table: &[T], size: usize, constant: Option<T>, y: &mut [T]) {
        for (y, &i) in y.chunks_exact_mut(size.max(1)).zip(&*self.indices) {
            match constant {
                Some(value) if self.padding == Some(i) => y.fill(value),
                _ => y.copy_from_slice(&table[i as usize * size..][..size]),
            }
        }
    }
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
        self.rows(x.as_slice(), x.shape()[1], None, value.make_mut());
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        self.rows(x_dot, x[1], Some(T::ZERO), y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, (x, _): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        x_bar.fill(T::ZERO);
        for (y, &i) in y_bar.chunks_exact(x[1].max(1)).zip(&*self.indices) {
            if self.padding != Some(i) {
                x_bar[i as usize * x[1]..][..x[1]].iter_mut().zip(y).for_each(|(x, y)| *x += *y);
            }
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let indices: Arc<[u32]> = vec![0, 3, 3, 1, 0, 3].into();
    // The row of padding is constant by decree: where it stands, y's differences say otherwise.
    let without: Arc<[u32]> = vec![0, 3, 1].into();
    vec![
        case(embedding(indices, Shape::new(&[2, 3])), vec![normal(&[4, 2], 0)]),
        case(embedding_with_padding(without, Shape::new(&[3]), 2), vec![normal(&[4, 2], 1)]),
    ]
}
