//! Arrays that are known when a network is read: masks, indices, positions.

use super::error::Result;
use sph_pt2::Dtype;

/// What the numbers of a constant are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// 0 or 1.
    Bool,
    /// Whole numbers.
    Int,
    /// Any numbers.
    Float,
}

impl Kind {
    /// The kind that a type of elements holds; `None` for one that is not known.
    pub fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::Bool => Some(Kind::Bool),
            Dtype::U8 | Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => Some(Kind::Int),
            Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 => Some(Kind::Float),
            Dtype::Other(_) => None,
        }
    }
}

/// An array in C order. Every kind of number is held as an `f64`, which is exact for whole numbers up to 2⁵³.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

/// More elements than any mask has that a network makes: an archive cannot ask for memory without end.
const LARGEST: usize = 1 << 26;

impl Constant {
    /// An array of one value.
    ///
    /// # Errors
    /// When it is too large.
    pub fn full(kind: Kind, shape: &[usize], value: f64) -> Result<Self> {
        Ok(Constant { kind, shape: shape.to_vec(), values: vec![value; count(shape)?] })
    }

    /// A single number.
    pub fn scalar(kind: Kind, value: f64) -> Self {
        Constant { kind, shape: Vec::new(), values: vec![value] }
    }

    /// 0, 1, … along a new array.
    pub fn row(kind: Kind, values: Vec<f64>) -> Self {
        Constant { kind, shape: vec![values.len()], values }
    }

    /// Axis i of the result is axis `axes[i]` of this.
    pub fn permute(&self, axes: &[usize]) -> Self {
        let shape: Vec<usize> = axes.iter().map(|a| self.shape[*a]).collect();
        let strides = strides(&self.shape);
        let steps: Vec<usize> = axes.iter().map(|a| strides[*a]).collect();
        let values = places(&shape, &steps).map(|i| self.values[i]).collect();
        Constant { kind: self.kind, shape, values }
    }

    /// The same numbers under another shape of as many elements.
    pub fn reshape(&self, shape: &[usize]) -> Self {
        Constant { kind: self.kind, shape: shape.to_vec(), values: self.values.clone() }
    }

    /// `len` entries of an axis, from `start` on, each `step` behind the other.
    pub fn slice(&self, axis: usize, start: usize, len: usize, step: usize) -> Self {
        let indices: Vec<usize> = (0..len).map(|i| start + i * step).collect();
        self.take(axis, &indices)
    }

    /// The entries of an axis with these numbers.
    pub fn take(&self, axis: usize, indices: &[usize]) -> Self {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let row = self.shape[axis] * inner;
        let mut shape = self.shape.clone();
        shape[axis] = indices.len();
        let outer: usize = self.shape[..axis].iter().product();
        let entry = |o: usize, i: usize| &self.values[o * row + i * inner..][..inner];
        let values =
            (0..outer).flat_map(|o| indices.iter().flat_map(move |i| entry(o, *i))).copied().collect();
        Constant { kind: self.kind, shape, values }
    }

    /// This array with `new` in the place of [`Constant::slice`].
    pub fn with_slice(&self, axis: usize, start: usize, step: usize, new: &Constant) -> Self {
        let mut out = self.clone();
        let inner: usize = self.shape[axis + 1..].iter().product();
        let (row, rows) = (self.shape[axis] * inner, new.shape[axis]);
        for (number, from) in new.values.chunks_exact(inner.max(1)).enumerate() {
            let (o, i) = (number / rows.max(1), number % rows.max(1));
            out.values[o * row + (start + i * step) * inner..][..inner].copy_from_slice(from);
        }
        out
    }

    /// The array as one of `shape`, its extents of 1 repeated; axes are aligned at the last one.
    ///
    /// # Errors
    /// When it does not fit, or the array becomes too large.
    pub fn expand(&self, shape: &[usize]) -> Result<Self> {
        let n = count(shape)?;
        let missing = shape.len().checked_sub(self.shape.len()).ok_or("more axes than asked for")?;
        let own = strides(&self.shape);
        let mut steps = vec![0; shape.len()];
        for (axis, extent) in self.shape.iter().enumerate() {
            if *extent != 1 && *extent != shape[missing + axis] {
                return Err(format!("{:?} does not expand to {shape:?}", self.shape));
            }
            steps[missing + axis] = if *extent == 1 { 0 } else { own[axis] };
        }
        let mut values = Vec::with_capacity(n);
        values.extend(places(shape, &steps).map(|i| self.values[i]));
        Ok(Constant { kind: self.kind, shape: shape.to_vec(), values })
    }

    /// f of every number.
    pub fn map(&self, kind: Kind, f: impl Fn(f64) -> f64) -> Self {
        Constant { kind, shape: self.shape.clone(), values: self.values.iter().map(|v| f(*v)).collect() }
    }

    /// f of the numbers of both, which are expanded to each other.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub fn zip(&self, other: &Constant, kind: Kind, f: impl Fn(f64, f64) -> f64) -> Result<Self> {
        let shape = joined(&self.shape, &other.shape)?;
        let (a, b) = (self.expand(&shape)?, other.expand(&shape)?);
        let values = a.values.iter().zip(&b.values).map(|(a, b)| f(*a, *b)).collect();
        Ok(Constant { kind, shape, values })
    }

    /// The only number of an array of one element.
    pub fn single(&self) -> Option<f64> {
        match self.values[..] {
            [v] => Some(v),
            _ => None,
        }
    }
}

/// Number of elements.
///
/// # Errors
/// When there are too many for a constant.
pub(crate) fn count(shape: &[usize]) -> Result<usize> {
    let n = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    n.filter(|n| *n <= LARGEST).ok_or_else(|| format!("an array of shape {shape:?} is too large"))
}

/// The shape of both expanded to each other.
pub(crate) fn joined(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    let extent = |i: usize| match (at(a, i), at(b, i)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(format!("shapes {a:?} and {b:?} do not fit each other")),
    };
    (0..rank).map(extent).collect()
}

/// Steps in C order.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        steps[i - 1] = steps[i] * shape[i];
    }
    steps
}

/// Where the elements of an array of `shape` lie whose axes take these steps, in C order.
fn places<'a>(shape: &'a [usize], steps: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let total: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    (0..total).map(move |_| {
        let here = place;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= steps[axis] * shape[axis];
            index[axis] = 0;
        }
        here
    })
}
