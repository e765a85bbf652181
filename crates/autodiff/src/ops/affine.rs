//! A number times x, and another added: y = ax + b;  ẏ = aẋ,  x̄ = aȳ,  x̄̇ = aȳ̇.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::{Array, Element, Shape, ShapeError, kernels::map};

/// A factor and a term that are numbers; made by [`affine`].
#[derive(Debug)]
pub struct Affine {
    /// The factor.
    pub a: f64,
    /// The term.
    pub b: f64,
}

/// a·x + b for numbers a and b: negation, scaling, adding and subtracting constants.
pub fn affine(a: f64, b: f64) -> LinearOp<Affine> {
    LinearOp::new(Affine { a, b })
}

impl Affine {
    fn scale<T: Element>(&self, x: &[T], out: &mut [T]) {
        let a = T::from_f64(self.a);
        map::zip(out, [x], |[x]| a * x);
    }
}

impl<T: Element> Linear<T> for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(x)
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let mut value = cx.array(y);
        let (a, b) = (T::from_f64(self.a), T::from_f64(self.b));
        map::zip(value.make_mut(), [x.as_slice()], |[x]| a * x + b);
        (value, None)
    }

    fn tangent(&self, _saved: Option<&Array<T>>, _shapes: (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        self.scale(x_dot, y_dot);
    }

    fn adjoint(&self, _saved: Option<&Array<T>>, _shapes: (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        self.scale(y_bar, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(affine(-0.75, 0.5), vec![normal(&[4, 5, 3], 0)]),
        case(affine(1.0, -2.0), vec![normal(&[7], 1)]),
    ]
}
