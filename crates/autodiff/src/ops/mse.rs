//! Mean squared error: L = (1/n) Σ (xᵢ − tᵢ)².

use crate::ops::{Case, case, normal};
use crate::rules::{ElementLoss, MeanLossOp};
use std::sync::Arc;

/// Mean squared error; made by [`mse`].
#[derive(Debug)]
pub struct Mse;

/// The mean over all elements of (x − t)², PyTorch's `MSELoss`; one target per element of x.
pub fn mse(targets: Arc<[f64]>) -> MeanLossOp<Mse> {
    MeanLossOp::new(targets)
}

impl ElementLoss for Mse {
    const NAME: &'static str = "mse";

    fn at(x: f64, target: f64) -> [f64; 3] {
        let error = x - target;
        [error * error, 2.0 * error, 2.0]
    }
}

pub(super) fn cases() -> Vec<Case> {
    let targets: Vec<f64> = normal(&[12], 1).to_f64();
    vec![case(mse(targets.into()), vec![normal(&[4, 3], 0)])]
}
