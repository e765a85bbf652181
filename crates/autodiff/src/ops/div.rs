//! Division: y = a/b;  f_a = 1/b,  f_b = −a/b²,  f_ab = −1/b²,  f_bb = 2a/b³.

use crate::ops::{Case, away_from_zero, case, normal};
use crate::rules::{Pair, PairOp, Slope};
use sph_tensor::Element;

/// Division; made by [`div`].
#[derive(Debug)]
pub struct Div;

/// a/b, element by element; shapes broadcast by NumPy's rule.
pub fn div() -> PairOp<Div> {
    PairOp(Div)
}

impl<T: Element> Pair<T> for Div {
    const NAME: &'static str = "div";
    const SLOPES: [Slope; 2] = [Slope::Of([false, true]), Slope::Of([true; 2])];
    const CURVED: [bool; 3] = [false, true, true];

    #[inline(always)]
    fn at(a: T, b: T) -> [T; 6] {
        let (y, inverse) = (a / b, T::ONE / b);
        let slope = -inverse * inverse;
        [y, inverse, a * slope, T::ZERO, slope, -T::from_f64(2.0) * a * slope * inverse]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(div(), vec![normal(&[3, 2, 4], 0), away_from_zero(&[3, 2, 4], 1)]),
        case(div(), vec![normal(&[2, 3, 2, 4], 2), away_from_zero(&[4], 3)]),
        case(div(), vec![normal(&[2, 3, 2, 4], 4), away_from_zero(&[2, 1, 1, 4], 5)]),
        case(div(), vec![normal(&[2, 1, 1, 1], 6), away_from_zero(&[2, 3, 2, 4], 7)]),
        case(div(), vec![normal(&[2, 3, 2], 8), away_from_zero(&[2, 3, 1], 9)]),
        case(div(), vec![normal(&[2, 3], 10), away_from_zero(&[], 11)]),
        case(div(), vec![normal(&[2, 1, 3], 12), away_from_zero(&[4, 1], 13)]),
    ]
}
