//! Addition of two arrays of one shape: y = a + b;  ẏ = ȧ + ḃ;  ā = b̄ = ȳ;  ā̇ = ḃ̄ = ȳ̇.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map};

/// Addition; made by [`add`].
#[derive(Debug)]
pub struct Add;

/// a + b, element by element.
pub fn add() -> Add {
    Add
}

fn sum<T: Element>(cx: &Context<T>, a: &Array<T>, b: &Array<T>) -> Array<T> {
    let mut y = cx.array(a.shape());
    map::binary(y.make_mut(), a.as_slice(), b.as_slice(), |a, b| a + b);
    y
}

/// An adjoint passes to both inputs unchanged, sharing its buffer.
fn to_both<T: Element>(adjoint: Option<&Array<T>>, need: &InputSet) -> PerInput<T> {
    (0..2).map(|i| adjoint.filter(|_| need.has(i)).cloned()).collect()
}

impl<T: Element> Op<T> for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[0] == x[1] { Ok(x[0]) } else { Err(ShapeError::new("add", "shapes differ", x)) }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], _y: Shape, _keep: Keep) -> (Array<T>, Residuals<T>) {
        (sum(cx, x[0], x[1]), Residuals::none())
    }

    fn vjp(&self, _cx: &Context<T>, _r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        to_both(Some(y_bar), need)
    }

    fn jvp(&self, cx: &Context<T>, _r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        match (x_dot[0], x_dot[1]) {
            (Some(a), Some(b)) => sum(cx, a, b),
            (a, b) => a.or(b).expect("a tangent").clone(),
        }
    }

    fn vjp_tangent(
        &self,
        _cx: &Context<T>,
        _r: &Record<T>,
        _x_dot: &[Option<&Array<T>>],
        _y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        to_both(y_bar_dot, need)
    }

    fn tangents_read(&self, _need: &InputSet) -> InputSet {
        InputSet::NONE
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(Add, vec![normal(&[3, 2, 4], 0), normal(&[3, 2, 4], 1)])]
}
