//! Subtraction: y = a − b;  f_a = 1,  f_b = −1.

use crate::ops::{Case, case, normal};
use crate::rules::{Pair, PairOp, Slope};
use sph_tensor::Element;

/// Subtraction; made by [`sub`].
#[derive(Debug)]
pub struct Sub;

/// a − b; shapes broadcast by NumPy's rule.
pub fn sub() -> PairOp<Sub> {
    PairOp(Sub)
}

impl<T: Element> Pair<T> for Sub {
    const NAME: &'static str = "sub";
    const SLOPES: [Slope; 2] = [Slope::One, Slope::Of([false; 2])];
    const CURVED: [bool; 3] = [false; 3];

    #[inline(always)]
    fn at(a: T, b: T) -> [T; 6] {
        [a - b, T::ONE, -T::ONE, T::ZERO, T::ZERO, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(sub(), vec![normal(&[3, 2, 4], 0), normal(&[3, 2, 4], 1)]),
        case(sub(), vec![normal(&[2, 3, 2, 4], 2), normal(&[4], 3)]),
        case(sub(), vec![normal(&[2, 3, 2, 4], 4), normal(&[2, 1, 1, 4], 5)]),
        case(sub(), vec![normal(&[2, 1, 1, 1], 6), normal(&[2, 3, 2, 4], 7)]),
        case(sub(), vec![normal(&[2, 3, 2], 8), normal(&[2, 3, 1], 9)]),
        case(sub(), vec![normal(&[2, 3], 10), normal(&[], 11)]),
        case(sub(), vec![normal(&[2, 1, 3], 12), normal(&[4, 1], 13)]),
    ]
}
