//! The curvature of a small network by `sph_optim::analysis`, against a dense eigendecomposition; gradients example by example,
//! against differences.

use sph_nn::models::{self, ModelConfig};
use sph_nn::norms::{self, NORMS, NormRow};
use sph_nn::{Builder, Mode};
use sph_optim::analysis::{
    EigenSettings, Hessian, Matrix, SpectrumSettings, block, diagonal, eigenpairs, spectrum, trace,
};
use sph_optim::second_order_blocks;
use sph_optim::{Answer, Curvature, Request};
use sph_tensor::{Array, Pool, Rng, Shape};
use sph_train::{Batch, Objective};

/// A small ResNet with 1-D parameters away from their defaults, and a batch.
fn network(norm: &'static NormRow, decouple: bool) -> Objective<f64> {
    let config = ModelConfig { norm, decouple, ..ModelConfig::new(2, (8, 8), 3) };
    let mut b = Builder::default();
    let model = models::resnet(&mut b, &config, &[1, 1, 1], &[3, 4, 5]);
    let mut f = Objective::new(b.finish(model), &Pool::new(), 1);
    let mut rng = Rng::new(2, "analysis", 0, 0);
    for block in second_order_blocks(f.params()) {
        f.store.values[block].make_mut().iter_mut().for_each(|v| *v += 0.3 * rng.normal());
    }
    let mut images = Array::stale(f.pool(), Shape::new(&[6, 8, 8, 2]));
    images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
    f.set_batch(Batch::new(images, vec![0, 1, 2, 2, 0, 1]));
    f.smoothing = 0.1;
    f
}

fn all(f: &Objective<f64>) -> Vec<usize> {
    (0..f.params().len()).collect()
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * scale, "{g} {w}");
    }
}

#[test]
fn a_whole_network_agrees_with_its_dense_hessian() {
    let mut f = network(norms::DEFAULT, false);
    let params = all(&f);
    f.undisturbed(|f| {
        let mut h = Hessian::new(f, &params).unwrap();
        let dense = block(&mut h).unwrap();
        assert!((900..2000).contains(&dense.size()), "{}", dense.size());
        assert!(dense.asymmetry() < 1e-12, "{}", dense.asymmetry());
        let mut eigenvalues = dense.eigenvalues().unwrap();
        let n = dense.size() as f64;

        close(&diagonal::exact(&mut h).unwrap(), &dense.diagonal(), 1e-10);
        close(&diagonal::hadamard(&mut h).unwrap(), &dense.diagonal(), 1e-10);
        close(&[trace::exact(&mut h).unwrap()], &[dense.trace()], 1e-10);
        let found = trace::hutchinson(&mut h, 64, 7).unwrap();
        assert!((found.mean - dense.trace()).abs() <= 5.0 * found.standard_error.unwrap(), "{found:?}");

        let s = spectrum(&mut h, &SpectrumSettings { probes: 16, steps: 20, seed: 7 }).unwrap();
        for (power, truth) in [(1, dense.trace() / n), (2, dense.frobenius_norm().powi(2) / n)] {
            let found = s.moment(power);
            assert!((found.mean - truth).abs() <= 5.0 * found.standard_error.unwrap(), "{found:?} {truth}");
        }
        assert!((s.density(2048, 0.005).integral() - 1.0).abs() < 1e-5);

        eigenvalues.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        let top = eigenpairs(&mut h, &EigenSettings { seed: 7, ..EigenSettings::default() }).unwrap();
        assert!(top.converged && top.products < 200, "{} {:?}", top.products, top.residuals);
        assert_eq!(top.values.len(), EigenSettings::default().count);
        for (value, want) in top.values.iter().zip(&eigenvalues) {
            assert!((value - want).abs() <= 1e-6 * want.abs(), "{value} {want}");
        }
    });
}

#[test]
fn looking_leaves_running_statistics_and_logits_alone() {
    let mut f = network(norms::DEFAULT, false);
    let blocks = second_order_blocks(f.params());
    let params = all(&f);
    let before = f.store.buffers.clone();
    let look = |f: &mut Objective<f64>| {
        f.undisturbed(|f| block(&mut Hessian::new(f, &params).unwrap().on(&blocks[..1]).unwrap()).unwrap())
    };
    let first = look(&mut f);
    f.per_example_gradients(&blocks).unwrap();
    // Nothing is left that a step would take in.
    f.apply(&[]);
    assert!(f.store.buffers == before && f.logits().is_none());
    assert_eq!(look(&mut f), first);
    // The same product in evaluation mode is another one: the mode counts.
    f.mode = Mode::Eval;
    assert_ne!(look(&mut f), first);
}

/// Gradients of ℓ_n on one block: their mean is the gradient of the loss, for every norm and for decoupled layers.
#[test]
fn the_mean_of_gradients_by_example_is_the_gradient() {
    let decoupled = NORMS.iter().find(|n| n.name == "none").unwrap();
    let cases = NORMS.iter().map(|n| (n, false)).chain([(decoupled, true)]);
    let mut checked = 0;
    for (norm, decouple) in cases {
        for mode in [Mode::Train, Mode::Eval] {
            let mut f = network(norm, decouple);
            f.mode = mode;
            let blocks = second_order_blocks(f.params());
            let by_example = f.per_example_gradients(&blocks).unwrap();
            let mut answer = Answer::default();
            f.evaluate(&Request { gradient: blocks.clone(), ..Request::default() }, &mut answer).unwrap();
            for (&block, g) in blocks.iter().zip(&by_example) {
                let c = f.params()[block].len();
                let mean: Vec<f64> = (0..c).map(|i| g.iter().skip(i).step_by(c).sum::<f64>() / 6.0).collect();
                close(&mean, &answer.gradient[block].as_ref().unwrap().to_f64(), 1e-10);
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "{checked}");
}

/// ℓ_n by the logits of a training pass.
fn losses(f: &mut Objective<f64>) -> Vec<f64> {
    f.evaluate(&Request::default(), &mut Answer::default()).unwrap();
    let (logits, smoothing) = (f.logits().unwrap().clone(), f.smoothing);
    let targets = f.current_batch().unwrap().targets.classes().unwrap().clone();
    let loss = |(x, t): (&[f64], &u32)| {
        let log_norm = x.iter().map(|v| v.exp()).sum::<f64>().ln();
        let q = |j: usize| smoothing / 3.0 + if j == *t as usize { 1.0 - smoothing } else { 0.0 };
        x.iter().enumerate().map(|(j, v)| q(j) * (log_norm - v)).sum()
    };
    logits.as_slice().chunks(3).zip(&*targets).map(loss).collect()
}

/// Under BatchNorm every example feels the others through the batch's statistics; differences see that, and so do we.
#[test]
fn gradients_by_example_agree_with_differences() {
    for norm in ["bn", "gn"] {
        let mut f = network(NORMS.iter().find(|n| n.name == norm).unwrap(), false);
        let blocks = second_order_blocks(f.params());
        let by_example = f.per_example_gradients(&blocks).unwrap();
        for (&block, g) in blocks.iter().zip(&by_example) {
            let c = f.params()[block].len();
            let h = 1e-5;
            let mut differences = vec![0.0; g.len()];
            for i in 0..c {
                let at = f.store.values[block].as_slice()[i];
                let mut moved = |to: f64| {
                    f.store.values[block].make_mut()[i] = to;
                    losses(&mut f)
                };
                let (up, down) = (moved(at + h), moved(at - h));
                moved(at);
                (0..6).for_each(|n| differences[n * c + i] = (up[n] - down[n]) / (2.0 * h));
            }
            // Second-order differences, and ReLU's kinks are not crossed by steps this small.
            close(g, &differences, 1e-6);
            let fisher = Matrix::second_moment(c, g);
            assert!(fisher.eigenvalues().unwrap()[0] >= -1e-14 * fisher.trace());
        }
    }
}
