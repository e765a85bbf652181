//! A model and images of your own, trained with SPH-DRS: what `sph train` does, by the library.
//!
//! Run with `cargo run --release -p sph --example 02-your-own`.

use sph_autodiff::{Var, ops};
use sph_data::{DataOptions, Dataset, ImageSet, Pixels};
use sph_nn::layers::{Conv2d, Followed, Geometry, Linear};
use sph_nn::{Builder, Forward, LayerError, Model, Module, Real, norms};
use sph_optim::{Curvature, presets::SphDrs};
use sph_optim::{Rule, second_order_blocks};
use sph_tensor::Pool;
use sph_train::files::RunFolder;
use sph_train::observers::Console;
use sph_train::training::{TrainSettings, Trainer, Training};
use sph_train::{ModelInfo, Objective};
use std::sync::atomic::AtomicBool;

/// A convolution, a norm (its scale and shift are the second-order blocks), and a classifier.
struct Small(Conv2d, Box<dyn Model>, Linear);

impl Small {
    fn new(b: &mut Builder, classes: usize) -> Self {
        let conv = Conv2d::new(b, "conv", (1, 8), Geometry::same(3, 1), Followed::ByNorm);
        Small(conv, (norms::DEFAULT.build)(b, "norm", 8), Linear::head(b, "fc", (8, classes), false))
    }
}

impl<T: Real> Module<T> for Small {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let x = self.0.forward(f, x)?;
        let x = T::module(&*self.1).forward(f, &x)?;
        let x = f.apply(ops::relu(), &[&x], &[], "relu")?;
        let x = f.apply(ops::global_avg_pool(), &[&x], &[], "pool")?;
        self.2.forward(f, &x)
    }
}

/// Stripes along one of three directions: the class is the direction.
fn stripes(count: usize) -> ImageSet {
    let pixel = |i: usize, y: usize, x: usize| ([x, y, x + y][i % 3] + i / 3) % 4 < 2;
    let image = |i: usize| (0..64).map(move |p| u8::from(pixel(i, p / 8, p % 8)) * 200 + (i * p % 50) as u8);
    ImageSet::new(
        (8, 8, 1),
        Pixels::Bytes((0..count).flat_map(image).collect()),
        (0..count).map(|i| (i % 3) as u32).collect(),
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let output = std::env::temp_dir().join(format!("sph-example-{}", std::process::id()));
    let names = ["upright", "level", "slanted"].map(String::from).to_vec();
    let data = Dataset::new(stripes(600), stripes(90), names)?;
    let mut b = Builder::default();
    let model = Box::new(Small::new(&mut b, data.classes()));
    let objective = Objective::new(b.finish(model), &Pool::<f32>::new(), 42);
    let training = Training {
        optimizer: SphDrs::default().build(objective.params())?,
        blocks: second_order_blocks(objective.params()),
        info: ModelInfo::new("small", "bn", "stripes", &DataOptions::default(), &data),
        objective,
        data,
        settings: TrainSettings { batch_size: 32, ..TrainSettings::new(5, 0.1) },
    };
    let mut trainer = Trainer::new(training, RunFolder::planned(&output, "stripes")?)?;
    trainer.begin()?;
    println!("{}", trainer.describe());
    let outcome = trainer.train(&mut [&mut Console::new(false, 0)], &AtomicBool::new(false))?;

    let accuracy = outcome.last.and_then(|score| score.accuracy).ok_or("no epoch was trained")?;
    println!("test accuracy {:.1} %", 100.0 * accuracy);
    assert!(accuracy > 0.9);
    // The folder holds the trained model and everything to go on from.
    std::fs::remove_dir_all(output)?;
    Ok(())
}
