//! How curved is the loss while a network is trained? Gradient descent on one batch, seen through products with the Hessian: at random
//! values the strongest curvature is negative; it turns positive, sinks with the loss, and most eigenvalues end near 0. A step
//! overshoots along an eigenvector whose eigenvalue is above 2/lr.
//!
//! Run with `cargo run --release -p sph --example 05-spectrum`.

use sph_data::{DataOptions, loader::Source};
use sph_nn::models::{self, ModelConfig};
use sph_optim::Curvature;
use sph_optim::Rule;
use sph_optim::analysis::{
    AnalysisError, EigenSettings, Hessian, Operator, SpectrumSettings, diagonal, eigenpairs, spectrum, trace,
};
use sph_optim::presets::Sgd;
use sph_optim::second_order_blocks;
use sph_tensor::Pool;
use sph_train::Objective;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lr = 0.3;
    let digits = sph_data::load("digits", &DataOptions::default())?;
    let pool = Pool::<f64>::new();
    let source = Source { set: digits.train, normalisation: digits.normalisation, batch_size: 200 };
    let mut f = Objective::new(models::build("mlp", &ModelConfig::new(1, (8, 8), 10))?, &pool, 0);
    f.set_batch(source.batch(&pool, &(0..200).collect::<Vec<_>>(), None));
    let all: Vec<usize> = (0..f.params().len()).collect();
    let descent = Sgd { momentum: 0.0, weight_decay: 0.0, ..Sgd::default() };
    let mut optimizer = descent.build(f.params())?;

    println!("2/lr = {:.2}\n\n step     loss  along g   largest  smallest", 2.0 / lr);
    for step in 0..=160 {
        if [0, 5, 10, 20, 40, 80, 160].contains(&step) {
            f.undisturbed(|f| -> Result<(), AnalysisError> {
                let mut h = Hessian::new(f, &all)?;
                // One product: the curvature along the gradient, gᵀHg/gᵀg.
                let g = h.gradient().to_vec();
                let hg = h.products(std::slice::from_ref(&g))?.remove(0);
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let along = dot(&g, &hg) / dot(&g, &g);
                // Many: the eigenvalue of largest size, and how far the spectrum reaches.
                let top = eigenpairs(&mut h, &EigenSettings { count: 1, ..EigenSettings::default() })?;
                let (low, _) =
                    spectrum(&mut h, &SpectrumSettings { probes: 2, ..Default::default() })?.range();
                println!("{step:>5} {:>8.4} {along:>8.2} {:>9.2} {low:>9.2}", h.loss(), top.values[0]);
                Ok(())
            })?;
        }
        optimizer.step(&mut f, lr)?;
    }

    let blocks = second_order_blocks(f.params());
    f.undisturbed(|f| -> Result<(), AnalysisError> {
        let mut h = Hessian::new(f, &all)?;
        // Scales and shifts of norms alone: few enough for the exact diagonal.
        let mut part = h.on(&blocks)?;
        let (n, found) = (part.len(), trace::hutchinson(&mut part, 32, 0)?);
        let exact: f64 = diagonal::exact(&mut part)?.iter().sum();
        let error = found.standard_error.unwrap_or_default();
        println!("\ntrace over the norms: {exact:.3} by {n} products, {:.3} ± {error:.3} by 32", found.mean);
        let density = spectrum(&mut h, &SpectrumSettings::default())?.density(21, 0.02);
        println!("\neigenvalue   density");
        for (x, d) in density.at.iter().zip(&density.density) {
            println!("{x:>10.3}   {}", "*".repeat((4.0 * (d.log10() + 5.0)).max(0.0) as usize));
        }
        Ok(())
    })?;
    Ok(())
}
