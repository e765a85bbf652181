//! Exponential linear units, ELU, SELU and CELU among them: with c = `input_scale`
//!
//! ```text
//! y = scale·x for x > 0, else scale·alpha·(e^(cx) − 1)
//! ```
//!
//! At 0 the slope is that from below and f″ is 0, as in PyTorch.

use crate::ops::{Case, case, normal};
use crate::rules::{Pointwise, PointwiseOp};
use sph_tensor::Element;

/// Exponential linear unit; made by [`elu`].
#[derive(Debug)]
pub struct Elu {
    /// Depth of the part below zero.
    pub alpha: f64,
    /// Factor of all.
    pub scale: f64,
    /// Factor of x below zero.
    pub input_scale: f64,
}

/// scale·x for x > 0, else scale·alpha·(exp(input_scale·x) − 1), PyTorch's `aten::elu`: selu has alpha 1.673…, scale 1.051…; celu has
/// input_scale 1/alpha.
pub fn elu(alpha: f64, scale: f64, input_scale: f64) -> PointwiseOp<Elu> {
    PointwiseOp(Elu { alpha, scale, input_scale })
}

impl<T: Element> Pointwise<T> for Elu {
    const NAME: &'static str = "elu";

    #[inline(always)]
    fn at(&self, x: T) -> [T; 3] {
        let c = T::from_f64;
        let (scale, rate) = (c(self.scale), c(self.input_scale));
        let depth = scale * c(self.alpha);
        // e^z − 1 = 2t/(1 − t), t = tanh(z/2), loses no digits for small z. Above zero it is not used, and must not overflow.
        let z = rate * if x > T::ZERO { T::ZERO } else { x };
        let (t, e) = ((c(0.5) * z).tanh(), z.exp());
        let slope = depth * rate * e;
        if x > T::ZERO {
            [scale * x, scale, T::ZERO]
        } else {
            let curve = if x < T::ZERO { slope * rate } else { T::ZERO };
            [depth * (t + t) / (T::ONE - t), slope, curve]
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(elu(1.5, 0.8, 0.7), vec![normal(&[4, 5, 3], 0)]),
        case(elu(1.673_263_242_354_377_2, 1.050_700_987_355_480_5, 1.0), vec![normal(&[37], 1)]),
    ]
}
