//! Products of matrices.

use super::{Row, value};
use crate::Role;
use crate::graph::action::Lookup;
use crate::graph::call::Call;
use crate::graph::error::Result;
use crate::graph::layout::{Tensor, joined};
use crate::graph::lowering::{Lowering, Value};
use crate::graph::size::{Size, elements, shown};
use crate::graph::step::{Id, Kind};
use sph_autodiff::ops;

pub(super) const ROWS: &[Row] = &[
    value("aten.linear.default", linear),
    value("aten.matmul.default", |low, call| {
        let (a, b) = (low.tensor(call, "self")?, low.tensor(call, "other")?);
        product(low, &a, &b).map(Value::Tensor)
    }),
    value("aten.mm.default", |low, call| {
        let (a, b) = (low.tensor(call, "self")?, low.tensor(call, "mat2")?);
        product(low, &a, &b).map(Value::Tensor)
    }),
    value("aten.bmm.default", |low, call| {
        let (a, b) = (low.tensor(call, "self")?, low.tensor(call, "mat2")?);
        product(low, &a, &b).map(Value::Tensor)
    }),
    value("aten.addmm.default", |low, call| {
        let (a, b) = (low.tensor(call, "mat1")?, low.tensor(call, "mat2")?);
        let bias = low.tensor(call, "self")?;
        let y = product(low, &a, &b)?;
        low.mark(bias.id, Role::Bias);
        low.pair(Kind::Add, &y, &bias, |_| ops::add()).map(Value::Tensor)
    }),
    value("aten.embedding.default", embedding),
];

fn linear(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let (x, w) = (low.tensor(call, "input")?, low.tensor(call, "weight")?);
    let bias = low.optional_tensor(call, "bias")?;
    let rank = x.shape.len();
    if rank == 0 || w.shape.len() != 2 || x.shape[rank - 1] != w.shape[1] {
        return Err(format!("weights {} do not fit {}", shown(&w.shape), shown(&x.shape)));
    }
    let x = if rank == 1 { low.with_rank(&x, 2)? } else { x };
    let last = x.shape.len() - 1;
    let x = low.last_in_memory(&x, last)?;
    let w = low.standard(&w)?;
    let mut shape = x.shape.clone();
    shape[last] = w.shape[0];
    low.mark(w.id, Role::Weight);
    if let Some(bias) = &bias {
        low.mark(bias.id, Role::Bias);
    }
    let inputs: Vec<&Tensor> = [&x, &w].into_iter().chain(&bias).collect();
    let y = low.op(Kind::Weighted { by_output: true }, &inputs, shape, x.order.clone(), |_| ops::linear())?;
    match rank {
        1 => low.reshaped(&y, &[w.shape[0]]).map(Value::Tensor),
        _ => Ok(Value::Tensor(y)),
    }
}

/// a·b, all axes but the last two in pairs and expanded to each other.
pub(super) fn product(low: &mut Lowering<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (mut a, mut b) = (a.clone(), b.clone());
    let (row, column) = (a.shape.len() == 1, b.shape.len() == 1);
    if row {
        a = low.with_rank(&a, 2)?;
    }
    if column {
        let shape = [b.shape[0], Size::ONE];
        b = low.reshaped(&b, &shape)?;
    }
    let (ra, rb) = (a.shape.len(), b.shape.len());
    if ra < 2 || rb < 2 || a.shape[ra - 1] != b.shape[rb - 2] {
        return Err(format!("{} and {} are no factors", shown(&a.shape), shown(&b.shape)));
    }
    low.mark(a.id, Role::Weight);
    low.mark(b.id, Role::Weight);
    let y = match rb {
        // One matrix for all rows.
        2 => {
            let last = ra - 1;
            let a = low.last_in_memory(&a, last)?;
            let mut shape = a.shape.clone();
            shape[last] = b.shape[1];
            // Weights that lie transposed are those of a linear layer.
            if b.order == [1, 0] {
                low.op(Kind::Weighted { by_output: true }, &[&a, &b], shape, a.order.clone(), |_| {
                    ops::linear()
                })?
            } else {
                let b = low.standard(&b)?;
                low.op(Kind::Other, &[&a, &b], shape, a.order.clone(), |_| ops::matmul())?
            }
        }
        _ => pairs(low, &a, &b)?,
    };
    let mut shape = y.shape.clone();
    if column {
        shape.pop();
    }
    if row {
        shape.remove(shape.len() - 1 - usize::from(!column));
    }
    low.reshaped(&y, &shape)
}

fn pairs(low: &mut Lowering<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let rank = a.shape.len().max(b.shape.len());
    let (a, b) = (low.with_rank(a, rank)?, low.with_rank(b, rank)?);
    let outer = joined(&a.shape[..rank - 2], &b.shape[..rank - 2])?;
    let (m, k, n) = (a.shape[rank - 2], a.shape[rank - 1], b.shape[rank - 1]);
    let with = |inner: [Size; 2]| outer.iter().copied().chain(inner).collect::<Vec<_>>();
    let (a, b) = (low.expanded(&a, &with([m, k]))?, low.expanded(&b, &with([k, n]))?);
    let a = low.standard(&a)?;
    let plain: Vec<usize> = (0..rank).collect();
    let mut swapped = plain.clone();
    swapped.swap(rank - 2, rank - 1);
    // A second factor whose rows lie as columns is used as it is.
    let transposed = b.order == swapped;
    let b = if transposed { b } else { low.with_order(&b, &plain)? };
    let shape = with([m, n]);
    if elements(&shape).is_none() {
        return Err("the product is too large".into());
    }
    low.op(Kind::Product, &[&a, &b], shape, plain, move |_| ops::batch_matmul(transposed, 1.0))
}

fn embedding(low: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value> {
    let table = low.tensor(call, "weight")?;
    let indices = low.value(call, "indices")?;
    let padding = call.int("padding_idx", -1)?;
    if table.shape.len() != 2 {
        return Err(format!("a table of {}", shown(&table.shape)));
    }
    low.mark(table.id, Role::Embedding);
    let rows = crate::graph::call::known(table.shape[0])?;
    let padding = usize::try_from(padding).ok();
    let mut shape = indices.shape();
    let y = match indices {
        Value::Constant(c) => {
            let whole = |v: &f64| (*v >= 0.0 && *v < rows as f64 && v.fract() == 0.0).then_some(*v as u32);
            let numbers = c.values.iter().map(whole).collect::<Option<Vec<u32>>>();
            let numbers = numbers.ok_or_else(|| format!("an index that is no row of {rows}"))?;
            if let Some(padding) = padding.filter(|p| numbers.contains(&(*p as u32))) {
                return Err(format!("a constant index is the padding row {padding}"));
            }
            let flat = low.taken(&table, 0, numbers)?;
            shape.push(table.shape[1]);
            low.reshaped(&flat, &shape)?
        }
        Value::Tensor(x) if low.whole(x.id) => {
            let x = low.standard(&x)?;
            let action = Lookup { sizes: x.shape.clone(), padding };
            shape.push(table.shape[1]);
            low.check(&shape)?;
            let table = low.standard(&table)?;
            let id = low.emit(Kind::Other, vec![x.id, table.id], shape.clone(), Box::new(action));
            Tensor::standard(id, shape)
        }
        _ => return Err("its indices are computed; only inputs and constants are supported".into()),
    };
    Ok(Value::Tensor(y))
}

impl Lowering<'_> {
    /// Whether a value is an input of whole numbers, perhaps moved about.
    pub fn whole(&self, id: Id) -> bool {
        matches!(self.origin(id), Id::Value(v) if self.integers.get(v) == Some(&true))
    }
}
