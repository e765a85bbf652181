//! Where the elements of a value lie: PyTorch's axes outside, any order of them in memory.
//!
//! A value has the extents that PyTorch gives it and an order of its axes in memory. Permutations change the order alone. Kernels ask for
//! the order they need: convolutions and pools for channels last, products for the inner axis last; everything that acts element by
//! element takes what comes. So a permutation is left only where two neighbours want different orders.

use super::error::Result;
use super::lowering::Lowering;
use super::size::{Size, elements, shown};
use super::step::{Id, Kind};
use sph_autodiff::ops;

/// A value that is computed when the network runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub id: Id,
    /// PyTorch's extents.
    pub shape: Vec<Size>,
    /// Axis i in memory is axis `order[i]` of PyTorch's.
    pub order: Vec<usize>,
}

/// More axes than networks name, and few enough for a batch of probes in front.
const MAX_RANK: usize = 7;

impl Tensor {
    /// A value that lies in memory as PyTorch names it.
    pub fn standard(id: Id, shape: Vec<Size>) -> Self {
        let order = (0..shape.len()).collect();
        Tensor { id, shape, order }
    }

    /// Its extents as they lie in memory.
    pub fn memory(&self) -> Vec<Size> {
        self.order.iter().map(|a| self.shape[*a]).collect()
    }

    /// Where an axis lies in memory.
    pub fn place(&self, axis: usize) -> usize {
        self.order.iter().position(|a| *a == axis).expect("an axis of the value")
    }

    /// The axes of more than one entry, in the order they lie in memory.
    fn wide(&self, order: &[usize]) -> Vec<usize> {
        order.iter().copied().filter(|a| self.shape[*a] != Size::ONE).collect()
    }
}

/// The extents of both expanded to each other, aligned at the last axis.
pub(crate) fn joined(a: &[Size], b: &[Size]) -> Result<Vec<Size>> {
    let rank = a.len().max(b.len());
    let at = |s: &[Size], i: usize| (i + s.len()).checked_sub(rank).map_or(Size::ONE, |i| s[i]);
    let extent = |i: usize| match (at(a, i), at(b, i)) {
        (x, y) if x == y || y == Size::ONE => Ok(x),
        (x, y) if x == Size::ONE => Ok(y),
        _ => Err(format!("shapes {} and {} do not fit each other", shown(a), shown(b))),
    };
    (0..rank).map(extent).collect()
}

/// Groups of axes of more than one entry with as many elements before a reshape and behind it, as small as they can be.
fn groups(from: &[Size], to: &[Size]) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    let wide = |s: &[Size]| (0..s.len()).filter(|i| s[*i] != Size::ONE).collect::<Vec<_>>();
    let (from_axes, to_axes) = (wide(from), wide(to));
    let (mut i, mut j) = (0, 0);
    let mut found = Vec::new();
    while i < from_axes.len() && j < to_axes.len() {
        let (first, second) = (i, j);
        let (mut a, mut b) = (from[from_axes[i]].symbolic(), to[to_axes[j]].symbolic());
        (i, j) = (i + 1, j + 1);
        while a != b {
            if a < b {
                a = a.checked_mul(from[*from_axes.get(i)?].symbolic())?;
                i += 1;
            } else {
                b = b.checked_mul(to[*to_axes.get(j)?].symbolic())?;
                j += 1;
            }
        }
        found.push((from_axes[first..i].to_vec(), to_axes[second..j].to_vec()));
    }
    (i == from_axes.len() && j == to_axes.len()).then_some(found)
}

impl Lowering<'_> {
    /// The value with its axes in this order in memory.
    pub fn with_order(&mut self, x: &Tensor, order: &[usize]) -> Result<Tensor> {
        if x.order == order {
            return Ok(x.clone());
        }
        let to = Tensor { order: order.to_vec(), ..x.clone() };
        if x.wide(&x.order) == x.wide(order) {
            let memory = to.memory();
            return self.op(Kind::Moved, &[x], to.shape, to.order, move |p| ops::reshape(p.shape(&memory)));
        }
        let axes: Vec<usize> = order.iter().map(|a| x.place(*a)).collect();
        self.op(Kind::Moved, &[x], to.shape, to.order, move |_| ops::permute(&axes))
    }

    /// The value as PyTorch would lay it out.
    pub fn standard(&mut self, x: &Tensor) -> Result<Tensor> {
        self.with_order(x, &(0..x.shape.len()).collect::<Vec<_>>())
    }

    /// The value with axis 1, PyTorch's channels, last in memory.
    ///
    /// # Errors
    /// When there is no axis 1.
    pub fn channels_last(&mut self, x: &Tensor) -> Result<Tensor> {
        let rank = x.shape.len();
        if rank < 2 {
            return Err(format!("expects channels, and not {}", shown(&x.shape)));
        }
        self.with_order(x, &[0].into_iter().chain(2..rank).chain([1]).collect::<Vec<_>>())
    }

    /// The value with this axis last in memory, and the others as they lie.
    pub fn last_in_memory(&mut self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let order: Vec<usize> = x.order.iter().copied().filter(|a| *a != axis).chain([axis]).collect();
        self.with_order(x, &order)
    }

    /// Axis i of the result is axis `axes[i]`; nothing moves.
    pub fn permuted(&mut self, x: &Tensor, axes: &[usize]) -> Tensor {
        let place = |old: &usize| axes.iter().position(|a| a == old).expect("an order of the axes");
        Tensor {
            id: x.id,
            shape: axes.iter().map(|a| x.shape[*a]).collect(),
            order: x.order.iter().map(place).collect(),
        }
    }

    /// The same elements, in PyTorch's order, under other extents.
    pub fn reshaped(&mut self, x: &Tensor, to_shape: &[Size]) -> Result<Tensor> {
        if x.shape == to_shape {
            return Ok(x.clone());
        }
        if to_shape.len() > MAX_RANK {
            return Err(format!("{} has more than {MAX_RANK} axes", shown(to_shape)));
        }
        if elements(&x.shape).is_none() || elements(&x.shape) != elements(to_shape) {
            return Err(format!("the elements of {} do not fill {}", shown(&x.shape), shown(to_shape)));
        }
        let parts = groups(&x.shape, to_shape).ok_or_else(|| {
            format!("{} to {} mixes samples of the batch", shown(&x.shape), shown(to_shape))
        })?;
        let memory = x.wide(&x.order);
        // Where each group lies, if its axes are neighbours in memory.
        let place = |axes: &[usize]| {
            let first = memory.iter().position(|a| *a == axes[0])?;
            memory[first..].starts_with(axes).then_some(first)
        };
        let mut placed = Vec::new();
        for (from, to) in &parts {
            match place(from) {
                Some(at) => placed.push((at, to)),
                None => {
                    let x = self.standard(x)?;
                    let (shape, order) = (to_shape.to_vec(), (0..to_shape.len()).collect());
                    let sizes = to_shape.to_vec();
                    return self.op(Kind::Moved, &[&x], shape, order, move |p| ops::reshape(p.shape(&sizes)));
                }
            }
        }
        placed.sort();
        let mut order: Vec<usize> = placed.into_iter().flat_map(|(_, axes)| axes.iter().copied()).collect();
        order.extend((0..to_shape.len()).filter(|a| to_shape[*a] == Size::ONE));
        let y = Tensor { id: x.id, shape: to_shape.to_vec(), order };
        let sizes = y.memory();
        self.op(Kind::Moved, &[x], y.shape, y.order, move |p| ops::reshape(p.shape(&sizes)))
    }

    /// `len` entries of an axis, from `start` on, each `step` behind the other.
    pub fn sliced(
        &mut self,
        x: &Tensor,
        axis: usize,
        start: usize,
        len: usize,
        step: usize,
    ) -> Result<Tensor> {
        if x.shape[axis] == Size::fixed(len) && start == 0 && step == 1 {
            return Ok(x.clone());
        }
        let extent = super::call::known(x.shape[axis])?;
        if len == 0 || start + (len - 1) * step >= extent {
            return Err(format!("entries {start} to {} of an axis of {extent}", start + len * step));
        }
        let mut shape = x.shape.clone();
        shape[axis] = Size::fixed(len);
        let place = x.place(axis);
        if step == 1 {
            let range = start..start + len;
            return self
                .op(Kind::Moved, &[x], shape, x.order.clone(), move |_| ops::slice(place, range.clone()));
        }
        self.taken(x, axis, (0..len).map(|i| (start + i * step) as u32).collect())
    }

    /// The value with its extents of 1 repeated, axes aligned at the last one.
    pub fn expanded(&mut self, x: &Tensor, to: &[Size]) -> Result<Tensor> {
        let x = self.with_rank(x, to.len())?;
        if joined(&x.shape, to)? != to {
            return Err(format!("{} does not expand to {}", shown(&x.shape), shown(to)));
        }
        if x.shape == to {
            return Ok(x);
        }
        let y = Tensor { id: x.id, shape: to.to_vec(), order: x.order.clone() };
        let sizes = y.memory();
        self.op(Kind::Moved, &[&x], y.shape, y.order, move |p| ops::expand(p.shape(&sizes)))
    }

    /// The value with axes of one entry in front.
    pub fn with_rank(&mut self, x: &Tensor, rank: usize) -> Result<Tensor> {
        let more = rank
            .checked_sub(x.shape.len())
            .ok_or_else(|| format!("{} has more than {rank} axes", shown(&x.shape)))?;
        if more == 0 {
            return Ok(x.clone());
        }
        let shape: Vec<Size> = vec![Size::ONE; more].into_iter().chain(x.shape.iter().copied()).collect();
        self.reshaped(x, &shape)
    }

    /// Values one behind the other along an axis.
    pub fn concatenated(&mut self, parts: &[Tensor], axis: usize) -> Result<Tensor> {
        let first = parts.first().ok_or("nothing to put together")?;
        if let [only] = parts {
            return Ok(only.clone());
        }
        let order = first.order.clone();
        let mut shape = first.shape.clone();
        let others = |s: &[Size]| {
            s.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, s)| *s).collect::<Vec<_>>()
        };
        let mut total = 0usize;
        for part in parts {
            if part.shape.len() != shape.len() || others(&part.shape) != others(&first.shape) {
                return Err(format!(
                    "shapes {} and {} differ in more than axis {axis}",
                    shown(&shape),
                    shown(&part.shape)
                ));
            }
            total += super::call::known(part.shape[axis])?;
        }
        shape[axis] = Size::fixed(total);
        let aligned = parts.iter().map(|p| self.with_order(p, &order)).collect::<Result<Vec<_>>>()?;
        let place = first.place(axis);
        self.op(Kind::Other, &aligned.iter().collect::<Vec<_>>(), shape, order, move |_| ops::concat(place))
    }

    /// The entries of an axis with these numbers.
    pub fn taken(&mut self, x: &Tensor, axis: usize, indices: Vec<u32>) -> Result<Tensor> {
        let mut shape = x.shape.clone();
        shape[axis] = Size::fixed(indices.len());
        let (place, indices) = (x.place(axis), std::sync::Arc::<[u32]>::from(indices));
        self.op(Kind::Moved, &[x], shape, x.order.clone(), move |_| ops::take(place, indices.clone()))
    }
}
