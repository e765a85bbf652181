//! Addition: y = a + b;  ẏ = ȧ + ḃ;  ā = b̄ = ȳ;  ā̇ = ḃ̄ = ȳ̇, summed over the axes along which an input repeats.

use crate::ops::{Case, case, normal};
use crate::rules::{Pair, PairOp, Slope};
use sph_tensor::Element;

/// Addition; made by [`add`].
#[derive(Debug)]
pub struct Add;

/// a + b; shapes broadcast by NumPy's rule.
pub fn add() -> PairOp<Add> {
    PairOp(Add)
}

impl<T: Element> Pair<T> for Add {
    const NAME: &'static str = "add";
    const SLOPES: [Slope; 2] = [Slope::One; 2];
    const CURVED: [bool; 3] = [false; 3];

    #[inline(always)]
    fn at(a: T, b: T) -> [T; 6] {
        [a + b, T::ONE, T::ONE, T::ZERO, T::ZERO, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(add(), vec![normal(&[3, 2, 4], 0), normal(&[3, 2, 4], 1)]),
        case(add(), vec![normal(&[2, 3, 2, 4], 2), normal(&[4], 3)]),
        case(add(), vec![normal(&[2, 3, 2, 4], 4), normal(&[2, 1, 1, 4], 5)]),
        case(add(), vec![normal(&[2, 1, 1, 1], 6), normal(&[2, 3, 2, 4], 7)]),
        case(add(), vec![normal(&[2, 3, 2], 8), normal(&[2, 3, 1], 9)]),
        case(add(), vec![normal(&[2, 3], 10), normal(&[], 11)]),
        case(add(), vec![normal(&[2, 1, 3], 12), normal(&[4, 1], 13)]),
    ]
}
