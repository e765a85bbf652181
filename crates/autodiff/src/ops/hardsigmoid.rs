//! Piecewise linear stand-in for the logistic function: y = min(max(x + 3, 0), 6)/6;  f′ = ⅙ strictly between −3 and 3, 0 elsewhere.

use crate::ops::{Case, case, normal, scaled};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Piecewise linear stand-in for the logistic function; made by [`hardsigmoid`].
#[derive(Debug)]
pub struct Hardsigmoid;

/// min(max(x + 3, 0), 6)/6. (PyTorch rounds the slope ⅙ to single precision, whatever the type.)
pub fn hardsigmoid() -> PointwiseOp<Hardsigmoid> {
    PointwiseOp(Hardsigmoid)
}

impl<T: Element> Pointwise<T> for Hardsigmoid {
    const NAME: &'static str = "hardsigmoid";
    const CURVED: bool = false;

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let (c, three) = (T::from_f64, T::from_f64(3.0));
        let y = (x + three) * c(1.0 / 6.0);
        if x <= -three {
            [T::ZERO; 3]
        } else if x >= three {
            [T::ONE, T::ZERO, T::ZERO]
        } else {
            [y, c(1.0 / 6.0), T::ZERO]
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(hardsigmoid(), vec![scaled(normal(&[4, 5, 3], 0), 3.0)]),
        case(hardsigmoid(), vec![normal(&[37], 1)]),
    ]
}
