//! The arguments of an operation: by name, with PyTorch's defaults where the file leaves them out.

use super::error::Result;
use super::size::Size;
use sph_pt2::{Argument, Node};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Arguments that change nothing here: where and how PyTorch keeps and computes values.
const WITHOUT_MEANING: &[&str] = &[
    "device",
    "layout",
    "pin_memory",
    "memory_format",
    "cudnn_enable",
    "cudnn_enabled",
    "non_blocking",
    "copy",
    "implicit",
    "generator",
    "sparse",
    "scale_grad_by_freq",
];

/// An operation whose arguments are being read.
pub(crate) struct Call<'a> {
    pub node: &'a Node,
    read: RefCell<BTreeSet<&'static str>>,
    first_read: Cell<Option<&'a str>>,
}

impl<'a> Call<'a> {
    pub fn new(node: &'a Node) -> Self {
        Call { node, read: RefCell::default(), first_read: Cell::default() }
    }

    /// The argument called `name`, unless it is absent or `None`.
    pub fn argument(&self, name: &'static str) -> Option<&'a Argument> {
        self.read.borrow_mut().insert(name);
        let found = self.node.arguments.iter().find(|(n, _)| n == name).map(|(_, a)| a);
        found.filter(|a| !matches!(a, Argument::None))
    }

    /// The name of the tensor that the first argument is.
    pub fn first(&self) -> Option<&'a str> {
        let (name, argument) = self.node.arguments.first()?;
        self.first_read.set(Some(name));
        match argument {
            Argument::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// That an argument has not what is expected.
    pub fn unexpected(name: &str, found: &Argument) -> String {
        let text = format!("{found:?}");
        let short: String = text.chars().take(60).collect();
        format!("argument '{name}' cannot be {short}")
    }

    /// A whole number, or what it is when absent.
    pub fn int(&self, name: &'static str, default: i64) -> Result<i64> {
        match self.argument(name) {
            None => Ok(default),
            Some(Argument::Int(v)) | Some(Argument::Size(sph_pt2::Size::Fixed(v))) => Ok(*v),
            Some(other) => Err(Self::unexpected(name, other)),
        }
    }

    /// A whole number that must be there.
    pub fn required_int(&self, name: &'static str) -> Result<i64> {
        match self.argument(name) {
            None => Err(format!("argument '{name}' is missing")),
            Some(_) => self.int(name, 0),
        }
    }

    /// A number, or what it is when absent.
    pub fn float(&self, name: &'static str, default: f64) -> Result<f64> {
        Ok(self.optional_float(name)?.unwrap_or(default))
    }

    /// A number, where there is one.
    pub fn optional_float(&self, name: &'static str) -> Result<Option<f64>> {
        match self.argument(name) {
            None => Ok(None),
            Some(Argument::Float(v)) => Ok(Some(*v)),
            Some(Argument::Int(v)) => Ok(Some(*v as f64)),
            Some(Argument::Bool(v)) => Ok(Some(f64::from(u8::from(*v)))),
            Some(other) => Err(Self::unexpected(name, other)),
        }
    }

    /// Yes or no, or what it is when absent.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        match self.argument(name) {
            None => Ok(default),
            Some(Argument::Bool(v)) => Ok(*v),
            Some(Argument::Int(v)) => Ok(*v != 0),
            Some(other) => Err(Self::unexpected(name, other)),
        }
    }

    /// Text, or what it is when absent.
    pub fn text(&self, name: &'static str, default: &'a str) -> Result<&'a str> {
        match self.argument(name) {
            None => Ok(default),
            Some(Argument::String(v)) => Ok(v),
            Some(other) => Err(Self::unexpected(name, other)),
        }
    }

    /// Whole numbers, where they are there; one alone is a list of one.
    pub fn optional_ints(&self, name: &'static str) -> Result<Option<Vec<i64>>> {
        match self.argument(name) {
            None => Ok(None),
            Some(Argument::Ints(v)) => Ok(Some(v.clone())),
            Some(Argument::Int(v)) => Ok(Some(vec![*v])),
            // An empty list has no kind of its own in the file.
            Some(Argument::Tensors(v)) if v.is_empty() => Ok(Some(Vec::new())),
            Some(Argument::Sizes(v)) => {
                let fixed = |s: &sph_pt2::Size| match s {
                    sph_pt2::Size::Fixed(v) => Ok(*v),
                    sph_pt2::Size::Named(_) => Err(format!("argument '{name}' depends on the batch size")),
                };
                v.iter().map(fixed).collect::<Result<_>>().map(Some)
            }
            Some(other) => Err(Self::unexpected(name, other)),
        }
    }

    /// Numbers that are at least 0, one for each of `N` axes; a single one is for all, and `default` where there is none.
    pub fn per_axis<const N: usize>(&self, name: &'static str, default: i64) -> Result<[usize; N]> {
        let given = self.optional_ints(name)?.unwrap_or_default();
        let each = |i: usize| match given.len() {
            0 => Ok(default),
            1 => Ok(given[0]),
            n if n == N => Ok(given[i]),
            n => Err(format!("argument '{name}' has {n} numbers")),
        };
        let mut out = [0; N];
        for (i, out) in out.iter_mut().enumerate() {
            let v = each(i)?;
            *out = usize::try_from(v)
                .ok()
                .filter(|v| *v < 1 << 32)
                .ok_or_else(|| format!("argument '{name}' cannot be {v}"))?;
        }
        Ok(out)
    }

    /// That every argument was read or has no meaning here.
    ///
    /// # Errors
    /// Naming one that was not.
    pub fn finish(&self) -> Result<()> {
        let read = self.read.borrow();
        let ignored = |name: &str| {
            read.contains(name) || self.first_read.get() == Some(name) || WITHOUT_MEANING.contains(&name)
        };
        let left = self.node.arguments.iter().find(|(n, a)| !ignored(n) && !matches!(a, Argument::None));
        match left {
            None => Ok(()),
            Some((name, _)) => Err(format!("argument '{name}' is not supported")),
        }
    }
}

/// An axis, counted from behind where it is negative.
///
/// # Errors
/// When there is none.
pub(crate) fn axis(number: i64, rank: usize) -> Result<usize> {
    let at = if number < 0 { number + rank as i64 } else { number };
    usize::try_from(at)
        .ok()
        .filter(|a| *a < rank)
        .ok_or_else(|| format!("there is no axis {number} among {rank}"))
}

/// A stretch of an axis of `extent` entries, as Python's slices mean it: where it begins and how many entries it has.
pub(crate) fn stretch(extent: usize, start: Option<i64>, end: Option<i64>, step: usize) -> (usize, usize) {
    let place = |v: i64| {
        let v = if v < 0 { v.saturating_add(extent as i64) } else { v };
        v.clamp(0, extent as i64) as usize
    };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(i64::MAX)));
    (start, end.saturating_sub(start).div_ceil(step.max(1)))
}

/// A known extent.
///
/// # Errors
/// When it depends on the batch size.
pub(crate) fn known(size: Size) -> Result<usize> {
    size.known().ok_or_else(|| "the extent depends on the batch size".to_string())
}

/// Known extents.
///
/// # Errors
/// When one depends on the batch size.
pub(crate) fn fixed(sizes: &[Size]) -> Result<Vec<usize>> {
    sizes.iter().map(|s| known(*s)).collect()
}
