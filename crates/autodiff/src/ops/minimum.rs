//! The smaller of two numbers, −max(−a, −b): f_a = 1 where a is the smaller one, ½ where they are equal, as in PyTorch, and 0 elsewhere; f_b = 1 − f_a.

use crate::ops::{Case, Maximum, case, normal};
use crate::rules::{Pair, PairOp, Slope};
use sph_tensor::Element;

/// The smaller of two numbers; made by [`minimum`].
#[derive(Debug)]
pub struct Minimum;

/// The smaller of a and b, element by element; shapes broadcast by NumPy's rule. NaN if either is.
pub fn minimum() -> PairOp<Minimum> {
    PairOp(Minimum)
}

impl<T: Element> Pair<T> for Minimum {
    const NAME: &'static str = "minimum";
    const SLOPES: [Slope; 2] = [Slope::Of([true; 2]); 2];
    const CURVED: [bool; 3] = [false; 3];

    #[inline(always)]
    fn at(a: T, b: T) -> [T; 6] {
        let [f, a_slope, b_slope, ..] = Maximum::at(-a, -b);
        [-f, a_slope, b_slope, T::ZERO, T::ZERO, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(minimum(), vec![normal(&[3, 2, 4], 0), normal(&[3, 2, 4], 1)]),
        case(minimum(), vec![normal(&[2, 3, 2, 4], 2), normal(&[4], 3)]),
        case(minimum(), vec![normal(&[2, 3, 2, 4], 4), normal(&[2, 1, 1, 4], 5)]),
        case(minimum(), vec![normal(&[2, 1, 1, 1], 6), normal(&[2, 3, 2, 4], 7)]),
        case(minimum(), vec![normal(&[2, 3, 2], 8), normal(&[2, 3, 1], 9)]),
        case(minimum(), vec![normal(&[2, 3], 10), normal(&[], 11)]),
        case(minimum(), vec![normal(&[2, 1, 3], 12), normal(&[4, 1], 13)]),
    ]
}
