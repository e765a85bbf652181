//! Multiplication: y = ab;  f_a = b,  f_b = a,  f_ab = 1.

use crate::ops::{Case, case, normal};
use crate::rules::{Pair, PairOp, Slope};
use sph_tensor::Element;

/// Multiplication; made by [`mul`].
#[derive(Debug)]
pub struct Mul;

/// a·b, element by element; shapes broadcast by NumPy's rule.
pub fn mul() -> PairOp<Mul> {
    PairOp(Mul)
}

impl<T: Element> Pair<T> for Mul {
    const NAME: &'static str = "mul";
    const SLOPES: [Slope; 2] = [Slope::Of([false, true]), Slope::Of([true, false])];
    const CURVED: [bool; 3] = [false, true, false];

    #[inline(always)]
    fn at(a: T, b: T) -> [T; 6] {
        [a * b, b, a, T::ZERO, T::ONE, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(mul(), vec![normal(&[3, 2, 4], 0), normal(&[3, 2, 4], 1)]),
        case(mul(), vec![normal(&[2, 3, 2, 4], 2), normal(&[4], 3)]),
        case(mul(), vec![normal(&[2, 3, 2, 4], 4), normal(&[2, 1, 1, 4], 5)]),
        case(mul(), vec![normal(&[2, 1, 1, 1], 6), normal(&[2, 3, 2, 4], 7)]),
        case(mul(), vec![normal(&[2, 3, 2], 8), normal(&[2, 3, 1], 9)]),
        case(mul(), vec![normal(&[2, 3], 10), normal(&[], 11)]),
        case(mul(), vec![normal(&[2, 1, 3], 12), normal(&[4, 1], 13)]),
    ]
}
