//! Views: values that share memory with another one. Reading through a view and writing through it are inverses, so what the graph writes
//! in place becomes a new value of the whole.

use super::call::fixed;
use super::constant::Constant;
use super::error::Result;
use super::layout::Tensor;
use super::lowering::{Lowering, Value};
use super::size::{Size, shown};

/// How a value is seen.
#[derive(Debug, Clone)]
pub(crate) enum View {
    /// Axis i is axis `0[i]` of the whole.
    Permute(Vec<usize>),
    /// Other extents for the same elements.
    Reshape { from: Vec<Size>, to: Vec<Size> },
    /// `len` entries of an axis, from `start` on, each `step` behind the other.
    Slice { axis: usize, start: usize, len: usize, step: usize },
    /// Extents of 1 repeated.
    Expand(Vec<Size>),
}

impl View {
    /// One entry of an axis, which goes away.
    pub fn select(shape: &[Size], axis: usize, index: usize) -> Vec<View> {
        let mut to = shape.to_vec();
        to.remove(axis);
        let mut from = shape.to_vec();
        from[axis] = Size::ONE;
        vec![View::Slice { axis, start: index, len: 1, step: 1 }, View::Reshape { from, to }]
    }

    /// The view of `whole`.
    pub fn read(&self, low: &mut Lowering<'_>, whole: &Value) -> Result<Value> {
        Ok(match (whole, self) {
            (Value::Size(_), _) => return Err("a number has no views".into()),
            (Value::Constant(c), View::Permute(axes)) => c.permute(axes).into(),
            (Value::Constant(c), View::Reshape { to, .. }) => c.reshape(&fixed(to)?).into(),
            (Value::Constant(c), View::Slice { axis, start, len, step }) => {
                c.slice(*axis, *start, *len, *step).into()
            }
            (Value::Constant(c), View::Expand(to)) => match fixed(to) {
                Ok(to) => c.expand(&to)?.into(),
                Err(_) => {
                    let x = low.materialized(c)?;
                    Value::Tensor(low.expanded(&x, to)?)
                }
            },
            (Value::Tensor(x), View::Permute(axes)) => Value::Tensor(low.permuted(x, axes)),
            (Value::Tensor(x), View::Reshape { to, .. }) => Value::Tensor(low.reshaped(x, to)?),
            (Value::Tensor(x), View::Slice { axis, start, len, step }) => {
                Value::Tensor(low.sliced(x, *axis, *start, *len, *step)?)
            }
            (Value::Tensor(x), View::Expand(to)) => Value::Tensor(low.expanded(x, to)?),
        })
    }

    /// `whole` with `new` where this view looks at it.
    pub fn write(&self, low: &mut Lowering<'_>, whole: &Value, new: Value) -> Result<Value> {
        match (self, new) {
            (View::Permute(axes), new) => {
                let mut inverse = vec![0; axes.len()];
                axes.iter().enumerate().for_each(|(i, a)| inverse[*a] = i);
                View::Permute(inverse).read(low, &new)
            }
            (View::Reshape { from, to }, new) => {
                View::Reshape { from: to.clone(), to: from.clone() }.read(low, &new)
            }
            (View::Slice { axis, start, step, .. }, Value::Constant(new)) if whole.constant().is_some() => {
                let whole = whole.constant().expect("a constant");
                let kind = whole.kind.max(new.kind);
                Ok(Constant { kind, ..whole.with_slice(*axis, *start, *step, &new) }.into())
            }
            (View::Slice { axis, start, len, step }, new) => {
                if *step != 1 {
                    return Err("writes into every so many entries of a value that is computed".into());
                }
                let whole = low.as_tensor(whole)?;
                let new = low.as_tensor(&new)?;
                self.spliced(low, &whole, new, (*axis, *start, *len)).map(Value::Tensor)
            }
            (View::Expand(to), _) => Err(format!("writes into a value that is expanded to {}", shown(to))),
        }
    }

    fn spliced(
        &self,
        low: &mut Lowering<'_>,
        whole: &Tensor,
        new: Tensor,
        (axis, start, len): (usize, usize, usize),
    ) -> Result<Tensor> {
        let Some(extent) = whole.shape[axis].known() else { return Ok(new) };
        let mut parts = Vec::new();
        if start > 0 {
            parts.push(low.sliced(whole, axis, 0, start, 1)?);
        }
        parts.push(new);
        if start + len < extent {
            parts.push(low.sliced(whole, axis, start + len, extent - start - len, 1)?);
        }
        low.concatenated(&parts, axis)
    }
}
