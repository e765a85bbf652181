//! The curvature of a small network on real images, by the library instead of `sph inspect`: is a block's Hessian diagonal, what do
//! row sums say about it, and what does the spectrum of the whole network look like?
//!
//! Run with `cargo run --release -p sph --example 01-curvature`.

use sph_data::DataOptions;
use sph_data::loader::Source;
use sph_nn::models::{self, ModelConfig};
use sph_optim::Curvature;
use sph_optim::Rule;
use sph_optim::analysis::{
    AnalysisError, EigenSettings, Hessian, Matrix, SpectrumSettings, block, diagonal, eigenpairs, spectrum,
    trace,
};
use sph_optim::presets::Sgd;
use sph_optim::second_order_blocks;
use sph_tensor::Pool;
use sph_train::{Batch, Objective};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An MLP on the digits inside the binary, in double precision, trained a little: curvature at random values is untypical.
    let digits = sph_data::load("digits", &DataOptions::default())?;
    let (h, w, channels) = digits.train.size;
    let config = ModelConfig::new(channels, (h, w), digits.classes());
    let pool = Pool::<f64>::new();
    let network = models::build("mlp", &config)?;
    let mut f = Objective::new(network, &pool, 0);
    let source = Source { set: digits.train, normalisation: digits.normalisation, batch_size: 128 };
    let batch = |i: usize| -> Batch<f64> {
        let numbers: Vec<usize> = (i * 128..(i + 1) * 128).collect();
        source.batch(&pool, &numbers, None)
    };
    let mut sgd = Sgd::default().build(f.params())?;
    for step in 0..60 {
        f.set_batch(batch(step % source.training_batches()));
        sgd.step(&mut f, 0.1)?;
    }
    f.set_batch(batch(0));

    // Gradients of the 128 examples, for the Fisher block; they leave no trace.
    let blocks = second_order_blocks(f.params());
    let names: Vec<String> = blocks.iter().map(|&b| f.params()[b].name.clone()).collect();
    let by_example = f.per_example_gradients(&blocks)?;

    // Everything else comes from one evaluation; running statistics stay as they are.
    let all: Vec<usize> = (0..f.params().len()).collect();
    f.undisturbed(|f| -> Result<(), AnalysisError> {
        let mut hessian = Hessian::new(f, &all)?;
        println!(
            "loss {:.4}\n\n{:<12} {:>9} {:>12} {:>11}",
            hessian.loss(),
            "block",
            "off/diag",
            "row-sum err",
            "F off/diag"
        );
        for ((&b, name), g) in blocks.iter().zip(&names).zip(&by_example) {
            let h = block(&mut hessian.on(&[b])?)?;
            let fisher = Matrix::second_moment(h.size(), g);
            let diagonal = h.diagonal();
            let error: f64 = diagonal.iter().zip(h.row_sums()).map(|(d, r)| (r - d) * (r - d)).sum();
            let ratio = |m: &Matrix| m.off_diagonal_norm() / m.diagonal_norm();
            println!(
                "{name:<12} {:>9.2} {:>12.2} {:>11.2}",
                ratio(&h),
                error.sqrt() / h.diagonal_norm(),
                ratio(&fisher)
            );
        }

        // The diagonal of a block without forming it: 64 products, or as many random ones as one can afford.
        let mut block = hessian.on(&blocks[..1])?;
        let exact = diagonal::hadamard(&mut block)?;
        let estimate = diagonal::hutchinson(&mut block, 16, 0)?;
        let error = estimate[0].standard_error.unwrap_or_default();
        println!(
            "\n{} entry 0: {:.2e}, by 16 probes {:.2e} ± {error:.0e}",
            names[0], exact[0], estimate[0].mean
        );

        // The whole network.
        let found = trace::hutchinson(&mut hessian, 16, 0)?;
        println!("trace of the whole: {:.2} ± {:.2}", found.mean, found.standard_error.unwrap_or_default());
        let top = eigenpairs(&mut hessian, &EigenSettings::default())?;
        println!("top eigenvalues: {:.4?} after {} products", top.values, top.products);
        let density = spectrum(&mut hessian, &SpectrumSettings::default())?.density(41, 0.02);
        println!("\neigenvalue   density");
        for (x, d) in density.at.iter().zip(&density.density) {
            // A star per decade above 10⁻⁵.
            println!("{x:>10.3}   {}", "*".repeat((4.0 * (d.log10() + 5.0)).max(0.0) as usize));
        }
        Ok(())
    })?;
    Ok(())
}
