//! The same elements under another shape; nothing moves in memory.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::{Array, Element, Shape, ShapeError};

/// Another shape for the same elements; made by [`reshape`].
#[derive(Debug)]
pub struct Reshape(Shape);

/// x's elements, in order, as an array of `shape`.
pub fn reshape(shape: Shape) -> Reshape {
    Reshape(shape)
}

impl<T: Element> Op<T> for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        if x[0].len() == self.0.len() {
            Ok(self.0)
        } else {
            Err(ShapeError::new("reshape", format!("the elements do not fill {}", self.0), x))
        }
    }

    fn forward(&self, _cx: &Context<T>, x: &[&Array<T>], y: Shape, _keep: Keep) -> (Array<T>, Residuals<T>) {
        (x[0].reshape(y), Residuals::none())
    }

    fn vjp(&self, _cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| y_bar.reshape(r.x[0]))]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        x_dot[0].expect("a tangent").reshape(r.y.prepend(cx.probes))
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        _x_dot: &[Option<&Array<T>>],
        _y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        vec![y_bar_dot.filter(|_| need.has(0)).map(|d| d.reshape(r.x[0].prepend(cx.probes)))]
    }

    fn tangents_read(&self, _need: &InputSet) -> InputSet {
        InputSet::NONE
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(reshape(Shape::new(&[3, 2, 4])), vec![normal(&[2, 3, 4], 0)])]
}
