//! Multi-layer perceptron: (linear without bias, norm, ReLU) per hidden layer, then the classifier.

use crate::layers::Linear;
use crate::models::ModelConfig;
use crate::{Builder, Forward, LayerError, Model, Module, Real};
use sph_autodiff::{Var, ops};

struct Mlp {
    hidden: Vec<(Linear, Box<dyn Model>, String)>,
    fc: Linear,
}

/// An MLP with hidden layers of the given widths (`fc1`, `bn1`, `fc2`, … and the classifier `fc`).
pub fn mlp(b: &mut Builder, config: &ModelConfig, widths: &[usize]) -> Box<dyn Model> {
    let mut input = config.in_channels * config.image_size.0 * config.image_size.1;
    let hidden = widths
        .iter()
        .enumerate()
        .map(|(i, &width)| {
            let i = i + 1;
            let linear = Linear::new(b, &format!("fc{i}"), (input, width), config.followed());
            let norm = (config.norm.build)(b, &format!("bn{i}"), width);
            input = width;
            (linear, norm, format!("relu{i}"))
        })
        .collect();
    let fc = Linear::head(b, "fc", (input, config.classes), config.decouple);
    Box::new(Mlp { hidden, fc })
}

impl<T: Real> Module<T> for Mlp {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = f.apply(ops::flatten(), &[x], &[], "flatten")?;
        for (linear, norm, relu) in &self.hidden {
            x = linear.forward(f, &x)?;
            x = T::module(&**norm).forward_relu(f, &x, None, relu)?;
        }
        self.fc.forward(f, &x)
    }
}
