//! PyTorch's operations: a row each, by family. An operation with an underscore behind its name writes what the one without makes into
//! its first argument; it has no row of its own.

mod attention;
mod constants;
mod convolution;
mod losses;
mod movement;
mod norms;
mod pointwise;
mod pooling;
mod products;
mod random;
mod reductions;
mod sizes;
mod views;

use super::call::Call;
use super::error::Result;
use super::lowering::{Lowering, Value};
use super::size::Size;
use super::view::View;

/// Makes views of the first argument, whose extents are given; a list for each value.
type LowerViews = fn(&mut Lowering<'_>, &Call<'_>, &[Size]) -> Result<Vec<Vec<View>>>;

/// What an operation becomes.
#[derive(Clone, Copy)]
pub(crate) enum Lower {
    /// A new value.
    Value(fn(&mut Lowering<'_>, &Call<'_>) -> Result<Value>),
    /// A new value, the first of several that the operation makes; the others are no more than it needs itself.
    First(fn(&mut Lowering<'_>, &Call<'_>) -> Result<Value>),
    /// Views as below, where PyTorch can have them; else a copy. It can where the argument lies in memory as its axes say, or the result
    /// does not.
    ViewsOrCopy(LowerViews),
    /// Nothing: it only asserts something.
    Nothing,
    /// Views of its first argument, whose extents are given; one list for each value that it makes.
    Views(LowerViews),
}

/// One operation.
pub(crate) struct Row {
    /// Its name in the file.
    pub target: &'static str,
    /// What it becomes.
    pub lower: Lower,
}

const fn value(target: &'static str, lower: fn(&mut Lowering<'_>, &Call<'_>) -> Result<Value>) -> Row {
    Row { target, lower: Lower::Value(lower) }
}

const fn first(target: &'static str, lower: fn(&mut Lowering<'_>, &Call<'_>) -> Result<Value>) -> Row {
    Row { target, lower: Lower::First(lower) }
}

const fn nothing(target: &'static str) -> Row {
    Row { target, lower: Lower::Nothing }
}

const fn views(target: &'static str, lower: LowerViews) -> Row {
    Row { target, lower: Lower::Views(lower) }
}

const fn views_or_copy(target: &'static str, lower: LowerViews) -> Row {
    Row { target, lower: Lower::ViewsOrCopy(lower) }
}

/// All operations.
const FAMILIES: &[&[Row]] = &[
    attention::ROWS,
    constants::ROWS,
    convolution::ROWS,
    losses::ROWS,
    movement::ROWS,
    norms::ROWS,
    pointwise::ROWS,
    pooling::ROWS,
    products::ROWS,
    random::ROWS,
    reductions::ROWS,
    sizes::ROWS,
    views::ROWS,
];

/// The names of all operations, as the file has them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|rows| rows.iter()).map(|row| row.target)
}

/// The row of an operation, and whether it writes into its first argument.
pub(crate) fn find(target: &str) -> Option<(&'static Row, bool)> {
    let row = |target: &str| FAMILIES.iter().flat_map(|rows| rows.iter()).find(|row| row.target == target);
    if let Some(row) = row(target) {
        return Some((row, false));
    }
    let mut parts = target.splitn(3, '.');
    let (space, name, overload) = (parts.next()?, parts.next()?, parts.next()?);
    row(&format!("{space}.{}.{overload}", name.strip_suffix('_')?)).map(|row| (row, true))
}
