//! A number where a constant mask is true, x elsewhere: ẏ = ẋ, x̄ = ȳ, x̄̇ = ȳ̇ there, 0 under the mask.
//!
//! The residual is the mask as numbers, in its own shape.

use crate::op::Context;
use crate::ops::{Case, case, normal};
use crate::rules::{Linear, LinearOp};
use sph_tensor::kernels::broadcast::{self, Broadcast, Operand};
use sph_tensor::{Array, Element, Shape, ShapeError};
use std::sync::Arc;

/// A number under a mask; made by [`masked_fill`].
#[derive(Debug)]
pub struct MaskedFill {
    /// Where y is the number.
    pub mask: Arc<[bool]>,
    /// The mask's shape.
    pub mask_shape: Shape,
    /// The number.
    pub value: f64,
}

/// `value` where `mask`, an array of `mask_shape` that broadcasts to x, is true; x elsewhere.
///
/// # Panics
/// When `mask` does not fill `mask_shape`.
pub fn masked_fill(mask: Arc<[bool]>, mask_shape: Shape, value: f64) -> LinearOp<MaskedFill> {
    assert_eq!(mask.len(), mask_shape.len(), "a mask of shape {mask_shape}");
    LinearOp::piecewise(MaskedFill { mask, mask_shape, value })
}

impl MaskedFill {
    /// x outside the mask, `value` under it.
    fn fill<T: Element>(&self, shape: Shape, mask: &Array<T>, x: &[T], value: T, out: &mut [T]) {
        let g = Broadcast::new(shape, &[self.mask_shape]);
        let operands = [Operand::Full(x), Operand::Part(0, mask.as_slice())];
        broadcast::map(&g, out, operands, |[x, mask]| if mask == T::ZERO { x } else { value });
    }
}

impl<T: Element> Linear<T> for MaskedFill {
    fn name(&self) -> &'static str {
        "masked_fill"
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        match Broadcast::shape(x, self.mask_shape) {
            Some(y) if y == x => Ok(x),
            _ => {
                let reason = format!("a mask of shape {} does not repeat to it", self.mask_shape);
                Err(ShapeError::new("masked_fill", reason, &[x]))
            }
        }
    }

    fn forward(&self, cx: &Context<T>, x: &Array<T>, y: Shape) -> (Array<T>, Option<Array<T>>) {
        let (mut value, mut mask) = (cx.array(y), cx.array(self.mask_shape));
        let numbers = mask.make_mut().iter_mut().zip(&*self.mask);
        numbers.for_each(|(number, &mask)| *number = if mask { T::ONE } else { T::ZERO });
        self.fill(y, &mask, x.as_slice(), T::from_f64(self.value), value.make_mut());
        (value, Some(mask))
    }

    fn tangent(&self, mask: Option<&Array<T>>, (x, _): (Shape, Shape), x_dot: &[T], y_dot: &mut [T]) {
        self.fill(x, mask.expect("the mask"), x_dot, T::ZERO, y_dot);
    }

    fn adjoint(&self, mask: Option<&Array<T>>, (x, _): (Shape, Shape), y_bar: &[T], x_bar: &mut [T]) {
        self.fill(x, mask.expect("the mask"), y_bar, T::ZERO, x_bar);
    }
}

pub(super) fn cases() -> Vec<Case> {
    let every = |n: usize, len: usize| -> Arc<[bool]> { (0..len).map(|i| i % n == 1).collect() };
    vec![
        case(masked_fill(every(3, 24), Shape::new(&[2, 3, 4]), -2.5), vec![normal(&[2, 3, 4], 0)]),
        case(masked_fill(every(2, 4), Shape::new(&[4]), 7.0), vec![normal(&[2, 3, 4], 1)]),
        case(masked_fill(every(2, 6), Shape::new(&[2, 3, 1]), 0.0), vec![normal(&[2, 3, 4], 2)]),
    ]
}
