//! Rectifier with a slope below zero: y = x for x > 0, else slope·x;  f′ at 0 is the slope, as in PyTorch.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Rectifier with a slope below zero; made by [`leaky_relu`].
#[derive(Debug)]
pub struct LeakyRelu {
    /// The slope below zero.
    pub slope: f64,
}

/// x for x > 0, else `slope`·x.
pub fn leaky_relu(slope: f64) -> PointwiseOp<LeakyRelu> {
    PointwiseOp(LeakyRelu { slope })
}

impl<T: Element> Pointwise<T> for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const CURVED: bool = false;

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let slope = if x > T::ZERO { T::ONE } else { T::from_f64(self.slope) };
        [x * slope, slope, T::ZERO]
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![case(leaky_relu(0.1), vec![normal(&[4, 5, 3], 0)]), case(leaky_relu(-0.5), vec![normal(&[37], 1)])]
}
