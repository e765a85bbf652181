//! An optimizer of your own: steepest descent that asks the curvature how far to go. Along −g the loss is L − α gᵀg + ½ α² gᵀHg to
//! second order, which is least at α = gᵀg / gᵀHg: there is no learning rate to tune.
//!
//! Run with `cargo run --release -p sph --example 03-optimizer`.

use sph_data::{DataOptions, loader::Source};
use sph_nn::models::{self, ModelConfig};
use sph_optim::presets::Sgd;
use sph_optim::{Answer, Curvature, Directions, EvalError, ParamSpec, Request, Sweep};
use sph_optim::{AnyRule, Group, Rule, SettingsError, Transform, UpdateContext};
use sph_tensor::{Array, Element, Pool};
use sph_train::{Batch, Objective};

/// Multiplies the gradient by gᵀg / |gᵀHg|, at most by `longest`.
#[derive(Debug, Clone)]
struct CauchyStep {
    longest: f64,
}

impl<T: Element> Transform<T> for CauchyStep {
    fn name(&self) -> &'static str {
        "cauchy"
    }

    fn request(&mut self, _cx: &UpdateContext<'_, T>, want: &mut Request<T>) {
        // The direction is the gradient, which is not known beforehand: H·g is asked for in `update`.
        want.keep = true;
    }

    fn update(
        &mut self,
        cx: &UpdateContext<'_, T>,
        f: &mut dyn Curvature<T>,
        _answer: &Answer<T>,
        updates: &mut [Option<Array<T>>],
    ) -> Result<(), EvalError> {
        let mut sweep = Sweep { rows: cx.members.to_vec(), ..Sweep::default() };
        for &i in cx.members {
            // Directions have an axis of probes in front; here there is one.
            let g = updates[i].as_ref().map(|g| g.reshape(g.shape().prepend(1)));
            g.into_iter().for_each(|g| sweep.tangents.insert(i, g));
        }
        let mut product = Directions::default();
        f.hvp(&sweep, &mut product)?;
        let with_g = |other: &Directions<T>| -> f64 {
            let dot = |(i, g): (usize, &Array<T>)| {
                let other = other.get(i)?.as_slice().iter();
                Some(g.as_slice().iter().zip(other).map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>())
            };
            sweep.tangents.iter().filter_map(dot).sum()
        };
        let alpha = (with_g(&sweep.tangents) / with_g(&product).abs()).min(self.longest);
        for &i in cx.members {
            if let Some(g) = &mut updates[i] {
                g.make_mut().iter_mut().for_each(|g| *g *= T::from_f64(alpha));
            }
        }
        Ok(())
    }
}

/// It is the whole rule, for all parameters together.
impl Rule for CauchyStep {
    fn groups<T: Element>(&self, _: &[ParamSpec], members: &[usize]) -> Result<Vec<Group<T>>, SettingsError> {
        let members = members.to_vec();
        Ok(vec![Group { name: "all", members, chain: vec![Box::new(self.clone())] }])
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digits = sph_data::load("digits", &DataOptions::default())?;
    let source = Source { set: digits.train, normalisation: digits.normalisation, batch_size: 256 };
    let pool = Pool::<f32>::new();
    let batch = |i: usize| -> Batch<f32> {
        let first = i % source.training_batches() * 256;
        source.batch(&pool, &(first..first + 256).collect::<Vec<_>>(), None)
    };
    // The mean loss over the last of 60 steps.
    let train = |rule: AnyRule, lr: f64| -> Result<f64, Box<dyn std::error::Error>> {
        let mut f = Objective::new(models::build("mlp", &ModelConfig::new(1, (8, 8), 10))?, &pool, 0);
        let (mut optimizer, mut last) = (rule.build(f.params())?, 0.0);
        for step in 0..60 {
            f.set_batch(batch(step));
            let loss = optimizer.step(&mut f, lr)?.loss;
            last += if step >= 50 { loss / 10.0 } else { 0.0 };
        }
        Ok(last)
    };
    let descent = Sgd { momentum: 0.0, weight_decay: 0.0, ..Sgd::default() };
    for lr in [0.001, 0.01, 0.1, 1.0] {
        println!("gradient descent, lr {lr:<5}  loss {:.4}", train(AnyRule::new(descent.clone()), lr)?);
    }
    println!(
        "steps by curvature, lr 1     loss {:.4}",
        train(AnyRule::new(CauchyStep { longest: 10.0 }), 1.0)?
    );
    Ok(())
}
